"One home for what the package is: settings.ini; the rest agrees with it."
import ast
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fastbook_notes

from conftest import ROOT


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


def test_every_import_is_required(settings):
    "A wheel in an empty environment finds all that its modules import: each is the standard library's, ours, or a requirement's"
    required, owners = names(settings['requirements']), packages_distributions()
    brought = {'fastcore': 'fastai', 'fastprogress': 'fastai', 'rich': 'typer', 'traitlets': 'nbclient', 'nbformat': 'nbclient',
               'huggingface_hub': 'timm', 'packaging': 'fastai', 'IPython': 'ipywidgets', 'scipy': 'fastai', 'sklearn': 'fastai'}
    # Imported where they are used, after a look at whether they are there, with a line that says what to install.
    development_only = {('chapters', 'nbdev'), ('distributed', 'accelerate'), ('predict_folder', 'pyarrow'), ('exports', 'onnxruntime')}
    missing = set()
    for module in (ROOT/'fastbook_notes').rglob('*.py'):
        for node in ast.walk(ast.parse(module.read_text(encoding='utf-8'))):
            imported = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for top in {name.partition('.')[0] for name in imported} - set(sys.stdlib_module_names) - {'fastbook_notes'}:
                mine = {canonicalize_name(owner) for owner in owners.get(top, [top])} | {brought.get(top)}
                if not mine & required and (module.stem, top) not in development_only: missing.add((module.stem, top))
    assert missing == set()
