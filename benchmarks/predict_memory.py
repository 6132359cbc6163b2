"The most memory that labelling a folder takes, for a large one and one ten times smaller, each in a process of its own."
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import options, ratio_row, record
from predict import fill, prepared

CODE = '''
import resource, sys
from fastbook_notes.models.predict_folder import predict_folder
predict_folder(*sys.argv[1:4], report=str)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == 'darwin' else 1024))
'''


def main():
    given = options()
    few, many, size = (30, 300, 64) if given.quick else (2000, 20_000, 64)
    took = {few: [], many: []}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        pictures, _ = prepared(given, scratch, size)
        folders = {n: fill(scratch/f'{n}', pictures, n) for n in took}
        for i in range(given.rounds or (1 if given.quick else 2)):
            for n, folder in folders.items():
                words = [sys.executable, '-c', CODE, scratch/'model', folder, scratch/f'{n}-{i}.csv']
                done = subprocess.run(words, check=True, capture_output=True, text=True)
                took[n].append(float(done.stdout.split()[-1]))
    claim = f'memory while labelling {many} pictures'
    record(__file__, [ratio_row(claim, f'{few} pictures', took[many], took[few], at_most=1.1, unit='MB')], given)


if __name__ == '__main__': main()
