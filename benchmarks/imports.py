"What importing chapter 4 costs on top of torch."
import subprocess
import sys
from functools import partial

from measure import options, ratio_row, record, take_turns


def python(code): subprocess.run([sys.executable, '-c', code], check=True)


def main():
    given = options()
    sides = {code: partial(python, code) for code in ('import fastbook_notes.mnist_basics', 'import torch')}
    took = take_turns(sides, given.rounds or (1 if given.quick else 9))
    record(__file__, [ratio_row('`import fastbook_notes.mnist_basics`', '`import torch`', *took.values(), at_most=1.1)], given)


if __name__ == '__main__': main()
