"What importing chapter 4 costs on top of torch, and how long a prediction takes from the start of Python."
import subprocess
import sys
import tempfile
from functools import partial
from itertools import count
from pathlib import Path

from measure import options, ratio_row, record, take_turns

CHAPTER, BARE = 'import fastbook_notes.mnist_basics', 'import torch, timm'
TYPED = 'from fastbook_notes.command import main; main()' # What the console script runs
LOADED = '''
import sys
from fastbook_notes.models.model_folder import load_model
print(load_model(sys.argv[1]).predict(sys.argv[2]).label)
'''


def python(code, *words): subprocess.run([sys.executable, '-c', code, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def main():
    given = options()
    from fastbook_notes.data.datasets import get_dataset
    from fastbook_notes.models.untrained import words_model
    picture = next((get_dataset('PETS', given.data)/'images').glob('*.jpg'))
    with tempfile.TemporaryDirectory() as scratch:
        tables, model = (Path(scratch)/f'{i}.csv' for i in count()), words_model('cat_or_dog')
        sides = {code: partial(python, code) for code in (CHAPTER, 'import torch', BARE)}
        sides |= {TYPED: lambda: python(TYPED, 'predict', 'cat_or_dog', picture, '--out', next(tables)),
                  LOADED: partial(python, LOADED, model, picture)}
        took = take_turns(sides, given.rounds or (1 if given.quick else 9))
    record(__file__, [ratio_row(f'`{CHAPTER}`', '`import torch`', took[CHAPTER], took['import torch'], at_most=1.1),
                      ratio_row('`fastbook-notes predict cat_or_dog photo.jpg`, start to end of the process, once the model has been asked '
                                'before', f'`{BARE}`', took[TYPED], took[BARE], at_most=0.6),
                      ratio_row('`load_model(folder).predict(photo)`, start to end of the process', f'`{BARE}`', took[LOADED], took[BARE])],
           given)


if __name__ == '__main__': main()
