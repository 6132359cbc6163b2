"The wheel and the sdist, as somebody without the repository gets them."
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from conftest import NOTEBOOKS, ROOT, not_here, notebook_name

EXPORTS = {
    'intro': {'is_cat': None, 'cat_dataloaders': None, 'cat_learner': None},
    'mnist_basics': {
        'sigmoid': 'x', 'batch_accuracy': 'predictions, targets', 'mnist_loss': 'predictions, targets', 'init_params': 'size, std=1.0',
        'LinearModel': 'in_features, out_features', 'LinearModel.parameters': 'self', 'SimpleNet': 'in_features, out_features',
        'SimpleLearner': 'data_loaders, model', 'SimpleLearner.calculate_gradient': 'self, image, target',
        'SimpleLearner.step': 'self, learning_rate',
        'SimpleLearner.reset_gradient': 'self', 'SimpleLearner.train_epoch': 'self, learning_rate', 'SimpleLearner.validate_epoch': 'self',
        'SimpleLearner.train_model': 'self, epochs, learning_rate',
    },
    'pet_breeds': {'exponential': None, 'softmax': None, 'log_softmax': None, 'nll_loss': None, 'cross_entropy': 'activations, targets',
                   'breed_of': None, 'pet_dataloaders': None, 'breed_learner': None},
    'multicat': {'labels_of': None, 'multicat_datablock': None, 'multicat_dataloaders': None, 'multicat_learner': None, 'one_hot': None,
                 'decode_one_hot': None, 'binary_cross_entropy': 'inputs, targets', 'accuracy_at': None, 'best_threshold': None},
    'data.datasets': {'get_dataset': 'name, size'},
    'models.backbones': {'pretrained_learner': None},
    'data.drawings.pets': {'draw_pet': None}, 'data.drawings.scenes': {'draw_scene': None},
    'production': {}, 'ethics': {}, 'chapters': {}, 'errors': {'NotesError': None}, 'cli': {'main': ''},
}

ENGINE = [ROOT/'website'/'node_modules'/'onnxruntime-web'/'dist'/name
          for name in ('ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm')]

LOOK = '''
import importlib, inspect, json, sys
found = {}
for module in json.loads(sys.argv[1]):
    loaded = importlib.import_module('fastbook_notes.' + module)
    for name in json.loads(sys.argv[1])[module]:
        thing = loaded
        for part in name.split('.'): thing = getattr(thing, part)
        parameters = [] if inspect.isclass(thing) and issubclass(thing, BaseException) else inspect.signature(thing).parameters.values()
        found[module + '.' + name] = [(p.name, None if p.default is p.empty else repr(p.default)) for p in parameters]
import fastbook_notes
from fastbook_notes.chapters import notebooks_folder
notebooks = sorted(p.relative_to(notebooks_folder()).with_suffix('').as_posix() for p in notebooks_folder().rglob('*.ipynb'))
print(json.dumps(dict(found=found, file=fastbook_notes.__file__, version=fastbook_notes.__version__, notebooks=notebooks)))
'''


@pytest.fixture(scope='session')
def built(tmp_path_factory):
    "The wheel and the sdist, built in a copy, so that nothing is left in the checkout"
    folder = tmp_path_factory.mktemp('built')
    outside = shutil.ignore_patterns('.*', '_*', 'build', 'dist', '*.egg-info', 'tests', 'website')
    inside = shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints')
    shutil.copytree(ROOT, folder/'checkout', ignore=lambda at, names: (outside if Path(at) == ROOT else inside)(at, names))
    for file in filter(Path.is_file, ENGINE):
        (target := folder/'checkout'/file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    words = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', str(folder), str(folder/'checkout')]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob('*.whl')), next(folder.glob('*.tar.gz'))


@pytest.fixture(scope='session')
def elsewhere(built, tmp_path_factory):
    "A new environment that holds the wheel; what it requires is lent by this one, which takes seconds in place of minutes"
    folder = tmp_path_factory.mktemp('elsewhere')
    venv.create(folder/'env', with_pip=False)
    python = folder/'env'/('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    words = [python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))']
    place = subprocess.run(words, capture_output=True, text=True, check=True)
    words = [sys.executable, '-m', 'pip', '--quiet', '--python', str(python), 'install', '--no-deps', str(built[0])]
    subprocess.run(words, check=True, capture_output=True)
    lent = [path for path in sys.path if path.endswith('site-packages')]
    Path(place.stdout.strip(), 'lent.pth').write_text('\n'.join(lent))
    return python


def in_elsewhere(python, folder, *words):
    clean = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    return subprocess.run([str(python), *words], capture_output=True, text=True, cwd=folder, env={**clean, 'PYTHONIOENCODING': 'utf-8'})


@pytest.fixture(scope='session')
def looked(elsewhere, tmp_path_factory):
    "What the installed wheel exports"
    asked = json.dumps({module: list(names) for module, names in EXPORTS.items()})
    done = in_elsewhere(elsewhere, tmp_path_factory.mktemp('empty'), '-c', LOOK, asked)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_wheel_and_not_the_checkout_is_imported(looked, elsewhere, settings):
    assert str(elsewhere.parent.parent) in looked['file'] and str(ROOT) + os.sep not in looked['file']
    assert looked['version'] == settings['version']


SIGNATURES = {f'{module}.{name}': signature for module, names in EXPORTS.items() for name, signature in names.items()}


@pytest.mark.parametrize('name, signature', SIGNATURES.items())
def test_export(looked, name, signature):
    parameters = looked['found'][name]
    if signature is None: return
    wanted = [(part.partition('=')[0], part.partition('=')[2] or None) for part in signature.split(', ') if part]
    assert [p[0] for p in parameters[:len(wanted)]] == [p[0] for p in wanted]
    for (_, default), (_, expected) in zip(parameters, wanted):
        if expected: assert default == expected
    assert all(default is not None for _, default in parameters[len(wanted):]), 'what comes after the signature has defaults'


def test_notebooks_travel_in_the_wheel(looked):
    assert looked['notebooks'] == sorted(map(notebook_name, NOTEBOOKS))


def test_notebooks_travel_in_the_sdist(built):
    with tarfile.open(built[1]) as sdist: names = {name.partition('/')[2] for name in sdist.getnames()}
    notebooks = {f'nbs/{notebook_name(path)}.ipynb' for path in NOTEBOOKS}
    assert {'settings.ini', 'setup.py', 'pyproject.toml', 'README.md', 'LICENSE', *notebooks} <= names


def test_the_wheel_holds_only_the_package(built):
    with zipfile.ZipFile(built[0]) as wheel: tops = {name.partition('/')[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith('.dist-info')} == {'fastbook_notes'}


def test_the_wheel_holds_what_a_published_page_needs(built):
    if not all(map(Path.is_file, ENGINE)): not_here("the browser's engine is not in website/node_modules: npm ci --prefix website")
    with zipfile.ZipFile(built[0]) as wheel:
        for file in ENGINE: assert wheel.getinfo(f'fastbook_notes/apps/onnxruntime_web/{file.name}').file_size == file.stat().st_size
        packed = {name.rpartition('/')[2] for name in wheel.namelist() if name.startswith('fastbook_notes/apps/published/')}
    assert packed == {file.name for file in (ROOT/'fastbook_notes'/'apps'/'published').iterdir()}


def test_the_command_is_installed(elsewhere, tmp_path):
    command = elsewhere.parent/('fastbook-notes.exe' if os.name == 'nt' else 'fastbook-notes')
    code = f'import subprocess, sys; sys.exit(subprocess.run([{str(command)!r}, "lab", "mine", "--copy-only"]).returncode)'
    done = in_elsewhere(elsewhere, tmp_path, '-c', code)
    assert done.returncode == 0, done.stderr
    copied = sorted(path.relative_to(tmp_path/'mine').with_suffix('').as_posix() for path in (tmp_path/'mine').rglob('*.ipynb'))
    assert copied == sorted(map(notebook_name, NOTEBOOKS))
