"What an import costs, and what it leaves alone."
import os
import subprocess
import sys
import time

import pytest

from conftest import ROOT

MODULES = sorted('.'.join(p.relative_to(ROOT/'fastbook_notes').with_suffix('').parts) for p in (ROOT/'fastbook_notes').rglob('*.py') if not p.stem.startswith('_'))


def python(code, folder, **env):
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=folder, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return done


def seconds(code, folder):
    start = time.perf_counter()
    python(code, folder)
    return time.perf_counter() - start


def test_the_package_itself_is_light(tmp_path):
    "In one process after the other, the quickest of several each, so that a busy machine slows both"
    pairs = [(seconds('pass', tmp_path), seconds('import fastbook_notes', tmp_path)) for _ in range(7)]
    bare, ours = (min(times) for times in zip(*pairs))
    assert ours - bare < 0.05


def test_the_package_imports_only_the_standard_library(tmp_path):
    done = python('import sys; before = set(sys.modules); import fastbook_notes; print(*{n.partition(".")[0] for n in set(sys.modules) - before})', tmp_path)
    assert set(done.stdout.split()) - set(sys.stdlib_module_names) == {'fastbook_notes'}


def test_mnist_basics_needs_no_fastai(tmp_path):
    done = python('import sys, fastbook_notes.mnist_basics; print(*sorted(n for n in sys.modules if n.split(".")[0] in ("fastai", "torchvision", "matplotlib", "timm")))', tmp_path)
    assert done.stdout.split() == []


LIGHT = ('errors', 'quiet_imports', 'files', 'chapters', 'cli', 'data.drawings', 'data.datasets', 'mnist_basics', 'data.pictures', 'data.picture_formats', 'data.downloads', 'data.tables', 'data.quarantine', 'data.dataset_checks', 'apps.serving', 'apps.digit_pad', 'apps.line_pad',
         'apps.cleaner', 'apps.quiz')
# What imports fastai is looked at in one process, where fastai was imported before: that alone takes seconds, and changes what it likes.
GROUPS = {'light': list(LIGHT), 'with fastai': ['fastai.vision.all', *(m for m in MODULES if m not in LIGHT)]}


@pytest.mark.parametrize('group', GROUPS)
def test_importing_says_nothing_and_changes_nothing(group, tmp_path, blocked_network):
    "No output, no file, no other host, no warning filter, no random state, no backend"
    code = f'''
import importlib, os, random, sys, warnings
import IPython, numpy, torch, matplotlib
state = lambda: (list(warnings.filters), random.getstate(), numpy.random.get_state()[1].tolist(), torch.initial_seed(), torch.get_num_threads(), torch.get_default_dtype(), dict(os.environ), os.getcwd())
for module in {GROUPS[group]!r}:
    if module.startswith('fastai'):
        warnings.simplefilter('ignore'); importlib.import_module(module); warnings.resetwarnings()
        continue
    before = state()
    importlib.import_module(f'fastbook_notes.{{module}}')
    after = state()
    assert before == after, (module, [i for i, (a, b) in enumerate(zip(before, after)) if a != b])
'''
    tried = len(blocked_network.tried())
    home = tmp_path/'home'
    home.mkdir()
    done = python(code, tmp_path, **blocked_network.environment, HOME=str(home), FASTBOOK_NOTES_CACHE=str(tmp_path/'cache'), MPLCONFIGDIR=str(tmp_path.parent))
    assert (done.stdout, done.stderr) == ('', '')
    assert len(blocked_network.tried()) == tried
    assert not (tmp_path/'cache').exists()


def test_light_modules_import_no_fastai(tmp_path):
    done = python(f'import importlib, sys; [importlib.import_module("fastbook_notes." + m) for m in {LIGHT!r}]; print(*sorted(n for n in sys.modules if n.split(".")[0] == "fastai"))', tmp_path)
    assert done.stdout.split() == []
