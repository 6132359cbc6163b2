"What larger pictures cost: `train 5` at the chapter's 224 pixels a side, and at 128."
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from measure import options, ratio_row, record, take_turns

COMMAND = [sys.executable, '-c', 'from fastbook_notes.cli import main; main()']


def train(cache, size, *words):
    "From the files to the model; the body's graph is kept from an earlier training, the pictures' features are not"
    shutil.rmtree(cache/'features', ignore_errors=True)
    shutil.rmtree(cache/'model', ignore_errors=True)
    subprocess.run([*COMMAND, 'train', '5', '--size', str(size), '--out', str(cache/'model'), *words], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, 'FASTBOOK_NOTES_CACHE': str(cache)})


def main():
    given = options()
    words = ['--data', given.data] if given.data else []
    if given.quick: words += ['--epochs', '1']
    with tempfile.TemporaryDirectory() as folder:
        sides = {size: partial(train, Path(folder), size, *words) for size in (224, 128)}
        took = take_turns(sides, given.rounds or (1 if given.quick else 3))
    row = ratio_row('`train 5` at 224 px, from the files to the model', 'at 128 px, a third of the pixels', took[224], took[128],
                    at_most=round(224**2/128**2, 1))
    record(__file__, [row], given)


if __name__ == '__main__': main()
