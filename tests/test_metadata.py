"One home for what the package is: settings.ini; the rest agrees with it."
import functools
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fastbook_notes
from conftest import NOTEBOOKS, ROOT, imported, notebook_name


def names(requirements):
    return {canonicalize_name(Requirement(line).name) for line in requirements.split()}


def test_version_has_one_home(settings):
    assert fastbook_notes.__version__ == distribution('fastbook-notes').version == settings['version']


def test_pyproject_repeats_nothing(settings):
    project = tomllib.loads((ROOT/'pyproject.toml').read_text(encoding='utf-8'))['project']
    assert set(project) == {'name', 'requires-python', 'dynamic', 'urls'}
    assert project['name'] == settings['lib_name']
    assert project['requires-python'] == f">={settings['min_python']}"


def test_installed_metadata_is_settings(settings):
    metadata = distribution('fastbook-notes').metadata
    assert metadata['Name'] == settings['lib_name']
    assert metadata['Summary'] == settings['description']
    assert metadata['License-Expression'] == settings['license']
    assert metadata['Requires-Python'] == f">={settings['min_python']}"
    required = [Requirement(line) for line in metadata.get_all('Requires-Dist')]
    assert {str(r) for r in required if not r.marker} == {str(Requirement(line)) for line in settings['requirements'].split()}
    scripts = [f'{e.name}={e.value}' for e in distribution('fastbook-notes').entry_points if e.group == 'console_scripts']
    assert scripts == settings['console_scripts'].split()


def test_requirements_have_lower_bounds_and_no_upper_ones(settings):
    for line in settings['requirements'].split() + settings['dev_requirements'].split():
        assert [s.operator for s in Requirement(line).specifier] == ['>='], line


# Imported where they are used, after a look at whether they are there, with a line that says what to install.
DEVELOPMENT_ONLY = {'models/distributed': {'accelerate'}, 'models/predict_folder': {'pyarrow'}}
# Cells that only compare: they are run by whoever develops.
COMPARED = {'models/predictor': {'captum'}}


owners_of = functools.cache(packages_distributions)


def not_required(source, requirements):
    "The top-level names that a source imports, and which are neither the standard library's, ours, nor a requirement's"
    tops = {name.partition('.')[0] for name in imported(source, 'fastbook_notes.x.x')} - set(sys.stdlib_module_names) - {'fastbook_notes'}
    return {top for top in tops if not {canonicalize_name(owner) for owner in owners_of().get(top, [top])} & names(requirements)}


PACKAGE = ROOT/'fastbook_notes'
MODULES = {path.relative_to(PACKAGE).with_suffix('').as_posix(): path for path in sorted(PACKAGE.rglob('*.py'))}


@pytest.mark.parametrize('name', MODULES)
def test_every_import_is_required(name, settings):
    "A wheel in an empty environment finds all that its modules import"
    assert not_required(MODULES[name].read_text(encoding='utf-8'), settings['requirements']) == DEVELOPMENT_ONLY.get(name, set())


@pytest.mark.parametrize('path', NOTEBOOKS, ids=notebook_name)
def test_every_import_of_a_notebook_is_required(path, settings):
    "The wheel carries the notebooks as well"
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == 'code']
    source = '\n'.join(line for cell in cells for line in cell.splitlines() if not line.startswith(('%', '!')))
    allowed = DEVELOPMENT_ONLY.get(notebook_name(path), set()) | COMPARED.get(notebook_name(path), set())
    assert not_required(source, settings['requirements']) == allowed


def test_what_is_not_required_is_found():
    source = 'import os, sklearn.metrics\nfrom rich import box\ndef f(): import yaml\nfrom ..errors import NotesError'
    assert not_required(source, 'scikit-learn>=1.5') == {'rich', 'yaml'}


def test_what_the_tests_need_is_required(settings):
    "By whoever installs `.[dev]` and website/requirements.txt"
    lines = (ROOT/'website'/'requirements.txt').read_text(encoding='utf-8').splitlines()
    website = '\n'.join(['', *(line for line in lines if not line.startswith('#'))])
    local = {path.stem for folder in ('tests', 'tools', 'website', 'benchmarks') for path in (ROOT/folder).glob('*.py')}
    for path in [*(ROOT/'tests').glob('*.py'), *(ROOT/'benchmarks').glob('*.py'), *(ROOT/'website').glob('*.py'), ROOT/'setup.py']:
        missing = not_required(path.read_text(encoding='utf-8'), settings['requirements'] + settings['dev_requirements'] + website)
        assert missing <= local, path.name
