"What `make` would do, by the lines that it prints: what can't be tried everywhere, such as another index or another installer."
import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

if not shutil.which('make'): pytest.skip('there is no make', allow_module_level=True)
FILES = 'Makefile', 'settings.ini', 'setup.py', 'pyproject.toml', 'tests/browser.py', 'website/requirements.txt'
CPU = "--index-url https://download.pytorch.org/whl/cpu 'torch>=2.10' 'torchvision>=0.25'"
PIP = '.venv/bin/pip install --quiet --disable-pip-version-check'
UV = '/elsewhere/uv pip install --quiet --python .venv/bin/python'


@pytest.fixture
def would_do(tmp_path):
    "The lines that make would run in a new clone, on a machine whose pip has no settings"
    for name in FILES:
        (tmp_path/name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT/name, tmp_path/name)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(('PIP_', 'UV', 'MAKE', 'MFLAGS', 'TORCH'))}

    def run(*words, status=0, **env):
        done = subprocess.run(['make', '-n', f'PYTHON={sys.executable}', *words], cwd=tmp_path, capture_output=True, text=True,
                              env={**clean, 'PIP_CONFIG_FILE': os.devnull, **env})
        assert done.returncode == status, done.stderr
        return done.stdout.splitlines() if not status else done.stderr
    return run


def installs(lines): return [line for line in lines if ' install ' in line]


@pytest.fixture
def uv(tmp_path):
    "A path on which there is a uv"
    program = tmp_path/'programs'/'uv'
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n')
    program.chmod(0o755)
    return {'PATH': f'{program.parent}{os.pathsep}{os.environ["PATH"]}'}


def test_by_default_everything_comes_from_where_pip_looks(would_do):
    assert installs(would_do('run', 'UV=')) == [f"{PIP} --editable '.[dev]'"]


@pytest.mark.parametrize('given, program', [('UV=', PIP), ('UV=/elsewhere/uv', UV)])
def test_torch_for_the_cpu_comes_first_and_from_its_own_index(would_do, given, program):
    "Then the package finds it there, and brings the rest"
    assert installs(would_do('run', 'TORCH=cpu', given)) == [f'{program} {CPU}', f"{program} --editable '.[dev]'"]


def test_the_versions_of_torch_are_those_of_settings(settings):
    for requirement in re.findall(r"'(\S+)'", CPU): assert requirement in settings['requirements'].split()


def test_another_torch_is_refused(would_do):
    assert 'TORCH=gpu is not known: say TORCH=cpu' in would_do('run', 'TORCH=gpu', status=2)


def test_uv_is_used_where_it_is(would_do, uv):
    program, = installs(would_do('lab', **uv))
    assert program.partition(' ')[0].endswith('programs/uv') and "--editable '.[dev]'" in program


@pytest.mark.parametrize('setting', ['PIP_INDEX_URL', 'PIP_EXTRA_INDEX_URL', 'PIP_FIND_LINKS', 'PIP_CONSTRAINT', 'PIP_CERT', 'PIP_PROXY'])
def test_where_pip_was_told_where_to_look_pip_is_used(would_do, uv, setting):
    assert installs(would_do('lab', **uv, **{setting: 'x'})) == [f"{PIP} --editable '.[dev]'"]


def test_what_pip_was_told_in_a_file_counts_too(would_do, uv, tmp_path):
    (tmp_path/'pip.conf').write_text('[global]\nindex-url = https://packages.example/simple\n')
    assert installs(would_do('lab', **uv, PIP_CONFIG_FILE=str(tmp_path/'pip.conf'))) == [f"{PIP} --editable '.[dev]'"]


def test_the_notebooks_tests_and_the_run_of_the_chapters_leave_none_out_and_run_none_twice(would_do):
    "nbdev-test passes over the chapters, and over nothing else, because tests/test_run.py runs them as a person does"
    from conftest import NOTEBOOKS
    from fastbook_notes.chapters import CHAPTERS
    line, = (line for line in would_do('test', 'UV=') if 'nbdev-test' in line)
    left_out = re.compile(re.search(r"--skip-file-re '(\S+)'", line)[1])
    assert {path.stem for path in NOTEBOOKS if left_out.search(path.name)} == {chapter.name for chapter in CHAPTERS}


def test_the_quick_tests_are_those_without_a_mark(would_do):
    line, = (line for line in would_do('test-quick', 'UV=') if 'pytest' in line)
    assert "-m 'not slow and not browser'" in line


def test_jupyterlab_is_started_alone(would_do):
    "With the words that the command uses, so that it asks no other host for news or updates"
    from fastbook_notes.cli import _ALONE
    assert all(word in would_do('lab', 'UV=')[-1] for word in _ALONE)
