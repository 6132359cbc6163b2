"Notebooks are the source: modules, README and home page follow from them."
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from conftest import NOTEBOOKS, ROOT
from fastbook_notes.chapters import CHAPTERS, stored_run
from store import readme_of


@pytest.mark.slow
def test_modules_are_what_the_notebooks_export(tmp_path):
    litter = shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints')
    for name in ('nbs', 'fastbook_notes'): shutil.copytree(ROOT/name, tmp_path/name, ignore=litter)
    for name in ('settings.ini', 'pyproject.toml', 'setup.py', 'README.md'): shutil.copy(ROOT/name, tmp_path/name)
    for module in (tmp_path/'fastbook_notes').rglob('*.py'):
        if module.name != '__init__.py': module.unlink()
    done = subprocess.run([sys.executable, '-c', 'from nbdev.doclinks import nbdev_export; nbdev_export()'], cwd=tmp_path,
                          capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(tmp_path)})
    assert done.returncode == 0, done.stderr
    exported, committed = ({p.relative_to(root).as_posix(): p.read_text(encoding='utf-8') for p in (root/'fastbook_notes').rglob('*.py')}
                           for root in (tmp_path, ROOT))
    assert exported == committed


def test_every_module_has_a_notebook():
    defaults = {line.split()[-1] for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == 'code'
                for line in cell.source.splitlines() if line.startswith('#| default_exp')}
    package = ROOT/'fastbook_notes'
    modules = {'.'.join(p.relative_to(package).with_suffix('').parts) for p in package.rglob('*.py') if not p.stem.startswith('_')}
    assert modules == defaults


def test_readme_is_the_home_page():
    text, pictures = readme_of(nbformat.read(ROOT/'nbs'/'index.ipynb', as_version=4), 'nbs')
    assert (ROOT/'README.md').read_text(encoding='utf-8') == text, 'run `make readme`'
    assert text.count('\n') <= 150
    for name, data in pictures.items(): assert (ROOT/'nbs'/'images'/name).read_bytes() == data, name


def test_readme_shows_what_the_chapters_measured():
    text = (ROOT/'README.md').read_text(encoding='utf-8')
    for chapter in CHAPTERS:
        run = stored_run(chapter.path)
        line = next(line for line in text.splitlines() if chapter.name in line and run.result.model in line)
        assert str(run.result) in line and run.result.data in line


def test_readme_links_lead_somewhere():
    import re
    links = re.findall(r'\]\(([^)#\s]+)', (ROOT/'README.md').read_text(encoding='utf-8'))
    assert links
    assert [link for link in links if '://' not in link and not (ROOT/link).exists()] == []


def test_make_help_lists_every_target():
    import re
    text = (ROOT/'Makefile').read_text(encoding='utf-8')
    targets = set(re.search(r'^\.PHONY: (.*)$', text, re.MULTILINE).group(1).split())
    described = set(re.findall(r'^([\w-]+):.*## \S', text, re.MULTILINE))
    assert described == targets >= {'run', 'test', 'test-quick', 'lint', 'lab', 'help'}


def test_readmes_python_has_the_names_that_it_uses():
    code = '\n'.join(re.findall(r'```python\n(.*?)```', (ROOT/'README.md').read_text(encoding='utf-8'), re.DOTALL))
    said = subprocess.run([sys.executable, '-m', 'ruff', 'check', '--isolated', '--select', 'F821', '-'], input=code,
                          capture_output=True, text=True)
    assert code and said.returncode == 0, said.stdout
