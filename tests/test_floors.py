"Imports run down only: each module stands on a floor, and takes from its own floor or those below."
from graphlib import TopologicalSorter

import pytest

from conftest import ROOT, imported

FILES = [path for path in sorted((ROOT/'fastbook_notes').rglob('*.py')) if not path.stem.startswith('_')]
MODULES = {'.'.join(path.relative_to(ROOT).with_suffix('').parts): path.read_text(encoding='utf-8') for path in FILES}
NOTES = ('intro', 'production', 'ethics', 'mnist_basics', 'pet_breeds', 'multicat')
FLOORS = (('errors', 'quiet_imports', 'files'), ('data',), ('models',), NOTES, ('train', 'chapters'), ('apps',), ('cli',), ('command',))
GROUND, DATA = 0, 1

# Modules of more than 400 lines that are still to be divided.
TOO_LONG: set[str] = set()


def floor(module: str) -> int:
    "The number of the floor that a module stands on, by the first part of its name inside the package"
    return next(n for n, rooms in enumerate(FLOORS) if module.split('.')[1] in rooms)


def taken(module: str, source: str) -> set[str]:
    "The package's modules that a module imports; the package itself, which says the version, stands below everything"
    return {name for name in imported(source, module.rpartition('.')[0]) if name in MODULES}


def upwards(module: str, source: str) -> set[str]:
    "What a module imports and may not; `chapters` is data about the chapters, which needs no model"
    highest = DATA if module == 'fastbook_notes.chapters' else floor(module)
    return {name for name in taken(module, source) if floor(name) > highest}


@pytest.mark.parametrize('module', MODULES)
def test_imports_run_down(module):
    assert upwards(module, MODULES[module]) == set()


def test_no_two_modules_need_each_other():
    tuple(TopologicalSorter({module: taken(module, source) for module, source in MODULES.items()}).static_order())


@pytest.mark.parametrize('module', MODULES)
def test_a_module_is_at_most_400_lines(module):
    length = len(MODULES[module].splitlines())
    assert (length <= 400) != (module in TOO_LONG), f'{length} lines'


@pytest.mark.parametrize('module, source, wrong', [
    ('fastbook_notes.data.datasets', 'from ..models.features import picture_features', {'fastbook_notes.models.features'}),
    ('fastbook_notes.data.datasets', 'from fastbook_notes.models import features', {'fastbook_notes.models.features'}),
    ('fastbook_notes.data.datasets', 'def f():\n    if 1: import fastbook_notes.train as t', {'fastbook_notes.train'}),
    ('fastbook_notes.intro', 'from .apps import serving', {'fastbook_notes.apps.serving'}),
    ('fastbook_notes.chapters', 'from .models.backbones import pretrained_learner', {'fastbook_notes.models.backbones'}),
    ('fastbook_notes.intro', 'from . import chapters', {'fastbook_notes.chapters'}),
    ('fastbook_notes.train', 'from .chapters import CHAPTERS\nfrom .intro import is_cat\nimport torch', set()),
    ('fastbook_notes.apps.serving', 'from .. import __version__\nfrom ..chapters import CHAPTERS', set()),
])
def test_what_runs_up_is_found(module, source, wrong):
    assert upwards(module, source) == wrong
