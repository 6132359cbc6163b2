"What GitHub and others read of this repository: it parses, agrees with settings.ini, and publishes only what was tested."
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml

from conftest import ROOT

WORKFLOWS = {path.stem: path for path in sorted((ROOT/'.github'/'workflows').glob('*.yaml'))}
OTHERS = [*(ROOT/'.github').rglob('*.yml'), ROOT/'.pre-commit-config.yaml', ROOT/'CITATION.cff']


def read(path): return yaml.safe_load(path.read_text(encoding='utf-8'))


def jobs(name): return read(WORKFLOWS[name])['jobs']


def commands(job): return '\n'.join(step.get('run', '') for step in job['steps'])


def needed(name, job):
    "All jobs that must have passed before this one, those that they need included"
    direct = jobs(name)[job].get('needs', [])
    direct = {direct} if isinstance(direct, str) else set(direct)
    return direct.union(*(needed(name, other) for other in direct))


@pytest.mark.parametrize('path', OTHERS, ids=lambda path: path.name)
def test_it_parses(path):
    assert isinstance(read(path), dict)


@pytest.mark.parametrize('name', WORKFLOWS)
def test_a_workflow_may_only_read_and_ends(name):
    "Nothing runs forever, and a job that may write says so itself"
    workflow = read(WORKFLOWS[name])
    assert workflow['permissions'] == {'contents': 'read'}
    for job in workflow['jobs'].values(): assert 'uses' in job or job['timeout-minutes'] <= 60


@pytest.mark.parametrize('name', WORKFLOWS)
def test_what_a_workflow_uses_has_a_version_or_is_here(name):
    for job in jobs(name).values():
        for used in filter(None, [job.get('uses'), *(step.get('uses') for step in job.get('steps', []))]):
            assert (ROOT/used).is_file() if used.startswith('./') else re.fullmatch(r'[\w.-]+/[\w.-]+@(v\d+|release/v\d+)', used), used


def test_the_site_is_published_only_as_it_passed_its_tests():
    workflow = read(WORKFLOWS['docs'])
    events = workflow[True] # YAML's word for `on`
    after = {'workflows': [read(WORKFLOWS['test'])['name']], 'types': ['completed'], 'branches': ['main']}
    assert 'push' not in events and events['workflow_run'] == after
    build, publish = (workflow['jobs'][name] for name in ('build', 'publish'))
    assert "github.event.workflow_run.event == 'push' && github.event.workflow_run.conclusion == 'success'" in build['if']
    checkout = next(step for step in build['steps'] if step.get('uses', '').startswith('actions/checkout@'))
    assert checkout['with']['ref'].startswith('${{ github.event.workflow_run.head_sha')
    assert publish['if'] == "github.event_name == 'workflow_run'" and publish['needs'] == 'build'


def test_a_release_is_tested_and_published_without_a_password():
    assert jobs('release')['tests']['uses'] == './.github/workflows/test.yaml' and 'workflow_call' in read(WORKFLOWS['test'])[True]
    assert needed('release', 'publish') == {'tests', 'build'} and needed('release', 'announce') == {'tests', 'build', 'publish'}
    writes = {name: job['permissions'] for name, job in jobs('release').items() if 'permissions' in job}
    assert writes == {'publish': {'id-token': 'write'}, 'announce': {'contents': 'write'}}
    assert 'secrets.' not in WORKFLOWS['release'].read_text(encoding='utf-8')


@pytest.mark.parametrize('job', ['test', 'lowest'])
def test_what_the_tests_of_the_website_need_is_installed(job):
    "Windows has no make, and the lowest versions aren't make's: both install what make would"
    words = commands(jobs('test')[job]).replace('\\', '/')
    for wanted in ('npm ci --prefix website', '--requirement website/requirements.txt', 'python tests/browser.py'): assert wanted in words
    assert any(step.get('uses', '').startswith('actions/setup-node@') for step in jobs('test')[job]['steps'])


def test_the_lowest_python_is_tested(settings):
    python = f'{settings["min_python"]}'
    assert python in jobs('test')['test']['strategy']['matrix']['python']
    setup = next(step for step in jobs('test')['lowest']['steps'] if 'setup-python' in step.get('uses', ''))
    assert setup['with']['python-version'] == python


def test_the_same_notebooks_are_tested_everywhere():
    "What make test leaves to tests/test_run.py, Windows and the lowest versions leave to it as well"
    left_out = re.search(r"^CHAPTERS = '(.*)'$", (ROOT/'Makefile').read_text(encoding='utf-8'), re.MULTILINE)[1]
    home = '\n'.join(cell.source for cell in nbformat.read(ROOT/'nbs'/'index.ipynb', as_version=4).cells)
    lines = [line for text in [home, *map(commands, jobs('test').values())] for line in text.splitlines() if 'nbdev-test --' in line]
    assert len(lines) == 3 and {re.search(r"""--skip-file-re ["'](.*?)["']""", line)[1] for line in lines} == {left_out}


def test_dependabot_knows_where_things_are_declared():
    for update in read(ROOT/'.github'/'dependabot.yml')['updates']:
        declared = {'pip': ('setup.py', 'requirements.txt'), 'npm': ('package-lock.json',), 'github-actions': ('.github',)}
        for folder in update.get('directories', [update.get('directory')]):
            assert any((ROOT/folder.strip('/')/name).exists() for name in declared[update['package-ecosystem']]), update


def test_hooks_are_commands_that_are_installed():
    for hook in (hook for repository in read(ROOT/'.pre-commit-config.yaml')['repos'] for hook in repository['hooks']):
        program = Path(hook['entry'].split()[0])
        assert program.parts[:2] == ('.venv', 'bin') and (ROOT/program.parent/program.name).exists() or shutil.which(program.name), hook


def test_citation_is_of_this_version(settings):
    citation = read(ROOT/'CITATION.cff')
    assert (citation['version'], citation['license']) == (settings['version'], settings['license'])
    assert {'cff-version', 'message', 'title', 'authors'} <= set(citation)


def test_changelog_knows_the_version(settings):
    "Newest first, and all but the first have a number"
    headings = re.findall(r'^## \[(.+?)\]', (ROOT/'CHANGELOG.md').read_text(encoding='utf-8'), re.MULTILINE)
    assert headings[0] == 'Unreleased' and settings['version'] in headings
    numbers = [tuple(map(int, heading.split('.'))) for heading in headings[1:]]
    assert numbers == sorted(numbers, reverse=True)


def test_devcontainer_makes_what_make_makes():
    container = json.loads((ROOT/'.devcontainer'/'devcontainer.json').read_text(encoding='utf-8'))
    stamps = re.findall(r'^\w+ := (\.venv/\.\w+)$', (ROOT/'Makefile').read_text(encoding='utf-8'), re.MULTILINE)
    assert container['postCreateCommand'].split()[1:] == [*stamps, 'TORCH=cpu']
