"What is stored in nbs/: every notebook ran as it stands, cleanly, and says nothing about the machine that ran it."
import ast
import importlib
import json
import re

import pytest

from fastbook_notes.chapters import CHAPTERS, stored_result
from store import code_digest

MACHINE_PATH = re.compile(r'(?<![\w.:/~-])/(?:home|Users|root|tmp|work|private|opt|var|usr|mnt)/\w|[A-Z]:\\\\?(?:Users|Windows|Temp)'
                          r'|site-packages|ipykernel_\d+')
ADDRESS = re.compile(r' at 0x[0-9a-f]{6,}')
PROGRESS = re.compile(r'\d+%\|')
WARNING = re.compile(r'\b\w*Warning: ')
UNWANTED = {'a path of the machine': MACHINE_PATH, 'a memory address': ADDRESS, 'a progress bar': PROGRESS, 'a warning': WARNING}


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == 'code' and cell.source.strip()]


def statements(cell):
    "The cell as Python sees it, without directives and magics"
    return ast.parse('\n'.join(line for line in cell.source.splitlines() if not line.startswith(('#|', '%', '!')))).body


def is_import(statement):
    return isinstance(statement, (ast.Import, ast.ImportFrom))


def texts(cell):
    "Everything that a cell's outputs show as text"
    for output in cell.outputs:
        if output.output_type == 'stream': yield output.text
        for mime, data in output.get('data', {}).items():
            if mime.startswith('image/') and mime != 'image/svg+xml': continue
            yield data if isinstance(data, str) else json.dumps(data)


def complaints(notebook) -> list[str]:
    "What is wrong with a stored notebook, a line each"
    found = []
    if notebook.metadata.get('fastbook_notes', {}).get('run', {}).get('code') != code_digest(notebook):
        found.append('its outputs are not those of its code: run `python tools/store.py`')
    for number, cell in enumerate(code_cells(notebook), 1):
        body = statements(cell)
        last = cell.source.strip().splitlines()[-1][:60]
        found += [f'cell {number} (`{last}`): {complaint}' for complaint in complaints_of_cell(cell, body)]
    return found


def complaints_of_cell(cell, body):
    "What is wrong with a code cell and its outputs"
    if 0 < sum(map(is_import, body)) < len(body): yield 'mixes imports with other code'
    ends_in_value = body and isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, (ast.Call, ast.Constant))
    if ends_in_value and not cell.source.rstrip().endswith(';') and not cell.outputs: yield 'ends in a value and has no output'
    if 'plt.show()' in cell.source and '#| export' not in cell.source and not cell.outputs: yield 'draws a figure and has no output'
    for output in cell.outputs:
        if output.output_type == 'error': yield f'failed: {output.ename}'
        if output.output_type == 'stream' and output.name == 'stderr': yield f'wrote to stderr: {output.text[:80]}'
    for text in texts(cell):
        for what, pattern in UNWANTED.items():
            if match := pattern.search(text): yield f'shows {what}: {text[max(0, match.start() - 20):match.end() + 20]!r}'


def test_notebook_is_stored_as_it_ran(notebook):
    assert complaints(notebook) == []


def test_notebook_begins_with_title_and_subtitle(notebook):
    title, *_, subtitle = [line for line in notebook.cells[0].source.splitlines() if line.strip()]
    assert notebook.cells[0].cell_type == 'markdown' and title.startswith('# ') and subtitle.startswith('> ')


def test_headings_have_their_own_cells(notebook):
    mixed = [cell.source for cell in notebook.cells[1:] if cell.cell_type == 'markdown'
             and re.match(r'#+ ', cell.source) and len(cell.source.strip().splitlines()) > 1]
    assert mixed == []


def test_sources_name_no_path_of_a_machine(notebook):
    assert [match.group() for cell in notebook.cells for match in MACHINE_PATH.finditer(cell.source)] == []


@pytest.mark.parametrize('chapter', CHAPTERS, ids=lambda chapter: chapter.name)
def test_chapter_has_its_frame(chapter):
    import nbformat
    stored = nbformat.read(chapter.path, as_version=4)
    headings = [cell.source.strip() for cell in stored.cells if cell.source.startswith('## ')]
    assert headings[0] == '## What you will be able to do'
    assert '## Summary' in headings and '## What this stands on' in headings
    assert stored_result(stored) is not None
    assert sum('image/png' in output.get('data', {}) for cell in code_cells(stored) for output in cell.outputs) >= 3


# The checks themselves: each of them refuses a notebook that is wrong in its own way.

def stored_notebook(source, *outputs):
    from nbformat.v4 import new_code_cell, new_notebook
    made = new_notebook(cells=[new_code_cell(source, outputs=list(outputs))])
    made.metadata.fastbook_notes = {'run': {'code': code_digest(made)}}
    return made


def stream(text, name='stdout'):
    from nbformat.v4 import new_output
    return new_output('stream', name=name, text=text)


@pytest.mark.parametrize('source, outputs, complaint', [
    ('import os\nos.sep', [stream('/')], 'mixes imports'),
    ('answer', [], 'no output'),
    ('plt.show()', [], 'no output'),
    ('f()', [stream('careful', 'stderr')], 'stderr'),
    ('f()', [stream('/home/ada/x.png')], 'path of the machine'),
    ('f()', [stream(r'C:\Users\ada')], 'path of the machine'),
    ('f()', [stream('<function f at 0x7f2a41b>')], 'memory address'),
    ('f()', [stream(' 40%|####      | 4/10')], 'progress bar'),
    ('f()', [stream('UserWarning: odd')], 'warning'),
])
def test_what_is_wrong_is_refused(source, outputs, complaint):
    assert any(complaint in line for line in complaints(stored_notebook(source, *outputs)))


def test_what_is_right_is_accepted():
    assert complaints(stored_notebook('#| export\nimport os\nfrom pathlib import Path')) == []
    assert complaints(stored_notebook('answer', stream('42, see docs/home/x and https://a.example/tmp/x'))) == []


def test_changed_code_is_refused():
    changed = stored_notebook('answer', stream('42'))
    changed.cells[0].source = 'other_answer'
    assert any('not those of its code' in line for line in complaints(changed))


def test_error_is_refused():
    from nbformat.v4 import new_output
    failed = new_output('error', ename='ValueError', evalue='', traceback=[])
    assert any('failed: ValueError' in line for line in complaints(stored_notebook('f()', failed)))


def test_stored_widgets_have_the_scripts_of_now(notebook):
    "A page shows the script and style that were stored with it: after a change of either, tools/store.py stores them anew"
    states = notebook.metadata.get('widgets', {}).get('application/vnd.jupyter.widget-state+json', {}).get('state', {})
    old = []
    for state in (model['state'] for model in states.values()):
        module, _, kind = state.get('_anywidget_id', '').rpartition('.')
        if not module.startswith('fastbook_notes'): continue
        ours = getattr(importlib.import_module(module), kind)
        old += [f'{kind}.{name}' for name in ('_esm', '_css') if state[name] != str(getattr(ours, name))]
    assert old == []
