"What an import costs, and what it leaves alone."
import os
import subprocess
import sys
import time

import pytest

from conftest import ROOT

PACKAGE = ROOT/'fastbook_notes'
MODULES = sorted('.'.join(p.relative_to(PACKAGE).with_suffix('').parts) for p in PACKAGE.rglob('*.py') if not p.stem.startswith('_'))
# The top levels of what a statement has imported
IMPORTED = 'import sys; before = set(sys.modules); {}; print(*{{name.partition(".")[0] for name in set(sys.modules) - before}})'


def python(code, folder, **env):
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=folder, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return done


def tops(statement, folder):
    "The libraries that a statement loads, by their top names"
    return set(python(IMPORTED.format(statement), folder).stdout.split())


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
    assert tops('import fastbook_notes', tmp_path) - set(sys.stdlib_module_names) == {'fastbook_notes'}


def test_mnist_basics_needs_no_fastai(tmp_path):
    assert tops('import fastbook_notes.mnist_basics', tmp_path).isdisjoint({'fastai', 'torchvision', 'matplotlib', 'timm'})


LIGHT = ('errors', 'quiet_imports', 'files', 'chapters', 'cli', 'command', 'mnist_basics',
         *(module for module in MODULES if module.startswith('data.drawings')), 'data.datasets', 'data.pictures',
         'data.picture_formats', 'data.downloads',
         'data.dataset_checks', 'data.tables', 'data.quarantine',
         'models.rules', 'models.picture_steps', 'models.description', 'models.graphs', 'models.predict_folder', 'models.untrained',
         'apps.serving', 'apps.widget', 'apps.desk', 'apps.digit_pad', 'apps.line_pad', 'apps.cleaner', 'apps.quiz')
# What imports fastai is looked at in one process, where fastai was imported before: that alone takes seconds, and changes what it likes.
# The launcher is a program: it is started, never imported.
GROUPS = {'light': list(LIGHT), 'with fastai': ['fastai.vision.all', *(m for m in MODULES if m not in (*LIGHT, 'apps.launcher'))]}


@pytest.mark.parametrize('group', GROUPS)
def test_importing_says_nothing_and_changes_nothing(group, tmp_path, blocked_network):
    "No output, no file, no other host, no warning filter, no random state, no backend"
    code = f'''
import importlib, os, random, sys, warnings
import IPython, numpy, torch, matplotlib
state = lambda: (list(warnings.filters), random.getstate(), numpy.random.get_state()[1].tolist(), torch.initial_seed(),
                 torch.get_num_threads(), torch.get_default_dtype(), dict(os.environ), os.getcwd())
for module in {GROUPS[group]!r}:
    if module.startswith('fastai'):
        warnings.simplefilter('ignore'); importlib.import_module(module); warnings.resetwarnings()
        continue
    before = state()
    importlib.import_module(f'fastbook_notes.{{module}}')
    after = state()
    assert before == after, (module, [i for i, (a, b) in enumerate(zip(before, after)) if a != b])
'''
    home = tmp_path/'home'
    home.mkdir()
    places = dict(HOME=str(home), FASTBOOK_NOTES_CACHE=str(tmp_path/'cache'), MPLCONFIGDIR=str(tmp_path.parent))
    done = python(code, tmp_path, **blocked_network.environment, **places)
    assert (done.stdout, done.stderr) == ('', '')
    assert blocked_network.tried() == []
    assert not (tmp_path/'cache').exists()


def test_light_modules_import_no_fastai(tmp_path):
    assert 'fastai' not in tops(f'import {", ".join(f"fastbook_notes.{module}" for module in LIGHT)}', tmp_path)


def test_what_answers_by_a_graph_imports_no_pytorch(tmp_path):
    modules = ('command', 'cli', 'models.predict_folder', 'models.untrained')
    loaded = tops(f'import {", ".join(f"fastbook_notes.{module}" for module in modules)}', tmp_path)
    assert loaded.isdisjoint({'torch', 'timm', 'torchvision', 'fastai', 'pandas', 'onnx', 'scipy'}) and 'fastbook_notes' in loaded


def test_onnxruntime_reports_to_nobody(tmp_path):
    "By itself it does from its import on, which is seen by the file that it keeps beside the temporary ones"
    left = {}
    ours = ('models.graphs', 'models.engine', 'models.exports', 'apps.publishing')
    for words in ('onnxruntime', *(f'fastbook_notes.{module}' for module in ours)):
        (tmp_path/words).mkdir()
        python(f"import {words}; from fastbook_notes.quiet_imports import import_quietly; import_quietly('onnxruntime').SessionOptions()",
               tmp_path, TMPDIR=str(tmp_path/words))
        left[words] = [file.name for file in (tmp_path/words).iterdir() if not file.name.startswith('torchinductor')] # PyTorch's own
    if not left.pop('onnxruntime'): pytest.skip('this build of onnxruntime has no reports')
    assert left == dict.fromkeys(left, [])


def test_what_an_import_sets_in_the_environment_stays(tmp_path):
    "Only the variable that asks for no reports is taken back, and only if nobody had set it"
    code = ("import os; from fastbook_notes.quiet_imports import import_quietly; import_quietly('setter'); "
            "print(os.environ.get('SET_BY_IMPORT'), os.environ.get('ORT_DISABLE_TELEMETRY'))")
    (tmp_path/'setter.py').write_text("import os\nos.environ['SET_BY_IMPORT'] = os.environ['ORT_DISABLE_TELEMETRY']\n")
    for given, kept in (('0', '0 0'), (None, '1 None')):
        env = {'PYTHONPATH': os.pathsep.join([str(tmp_path), str(ROOT)]), **({'ORT_DISABLE_TELEMETRY': given} if given else {})}
        assert python(code, tmp_path, **env).stdout.strip() == kept
