"What a maintainer's program stores in a notebook, and what it makes of the home page."
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from fastbook_notes.chapters import execute
from store import _STATE, _VIEW, code_digest, readme_of, store_outputs


@pytest.mark.slow
def test_outputs_widgets_and_a_digest_are_stored(tmp_path):
    path = tmp_path/'small.ipynb'
    nbformat.write(new_notebook(cells=[new_code_cell('from ipywidgets import IntSlider\nIntSlider(7)'), new_code_cell('6*7')]), path)
    store_outputs(path)
    stored = nbformat.read(path, as_version=4)
    assert stored.cells[-1].outputs[0].data['text/plain'] == '42'
    assert stored.cells[0].outputs[0].data[_VIEW]['model_id'] == 'widget0'
    assert list(stored.metadata.widgets[_STATE]['state']) == ['widget0', 'widget1', 'widget2']
    assert stored.metadata.fastbook_notes.run.data == 'sample' and stored.metadata.fastbook_notes.run.code == code_digest(stored)
    stored.cells[-1].source = '6*8'
    assert stored.metadata.fastbook_notes.run.code != code_digest(stored)


@pytest.mark.slow
def test_a_notebook_that_fails_stays_as_it_was(tmp_path):
    path = tmp_path/'broken.ipynb'
    nbformat.write(new_notebook(cells=[new_code_cell('1/0')]), path)
    before = path.read_bytes()
    assert 'ZeroDivisionError' in store_outputs(path).failure and path.read_bytes() == before


@pytest.mark.slow
def test_the_readme_shows_what_it_should():
    page = new_notebook(cells=[new_markdown_cell('# Title'), new_code_cell('#| hide\nimport os'),
                               new_code_cell('#| echo: false\nprint(6*7)'),
                               new_code_cell('print(1)'), new_markdown_cell('[one](01_intro.ipynb) [site](https://example.com)')])
    execute(page, 'page')
    text, pictures = readme_of(page, 'nbs')
    assert 'os' not in text and 'print(6*7)' not in text and '42' in text and 'print(1)' in text
    assert '](nbs/01_intro.ipynb) [site](https://example.com)' in text and pictures == {}
