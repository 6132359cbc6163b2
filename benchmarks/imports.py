"What importing chapter 4 costs on top of torch, and how long a first prediction takes from the start of Python."
import subprocess
import sys
from functools import partial

from measure import options, ratio_row, record, take_turns

CHAPTER, FIRST = 'import fastbook_notes.mnist_basics', '''
import sys
from fastbook_notes.models.model_folder import load_model
print(load_model(sys.argv[1]).predict(sys.argv[2]).label)
'''


def python(code, *words): subprocess.run([sys.executable, '-c', code, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def main():
    given = options()
    from fastbook_notes.data.datasets import get_dataset
    from fastbook_notes.models.untrained import words_model
    model, picture = words_model('cat_or_dog'), next((get_dataset('PETS', given.data)/'images').glob('*.jpg'))
    sides = {code: partial(python, code) for code in (CHAPTER, 'import torch', 'import torch, timm')}
    took = take_turns({**sides, FIRST: partial(python, FIRST, model, picture)}, given.rounds or (1 if given.quick else 9))
    record(__file__, [ratio_row(f'`{CHAPTER}`', '`import torch`', took[CHAPTER], took['import torch'], at_most=1.1),
                      ratio_row('first prediction, from the start of Python', '`import torch, timm`', took[FIRST],
                                took['import torch, timm'], at_most=0.6)], given)


if __name__ == '__main__': main()
