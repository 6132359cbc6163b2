"Each chapter ends with questions that can be judged: as many as wanted, every answer explained, half of them confirmed by a cell."
import nbformat
import pytest

from conftest import ROOT
from fastbook_notes.chapters import CHAPTERS

STATE = 'application/vnd.jupyter.widget-state+json'


def headings(notebook):
    return [cell.source.lstrip('# ') for cell in notebook.cells if cell.cell_type == 'markdown' and cell.source.startswith('##')]


def questions_of(notebook):
    "What the stored quiz asks"
    states = notebook.metadata.get('widgets', {}).get(STATE, {}).get('state', {}).values()
    return [question for model in states for question in model['state'].get('questions', [])]


@pytest.fixture(params=CHAPTERS, ids=lambda chapter: chapter.name)
def chapter(request):
    return nbformat.read(ROOT/'nbs'/f'{request.param.name}.ipynb', as_version=4)


def test_five_to_eight_questions_before_the_links(chapter):
    assert 5 <= len(questions_of(chapter)) <= 8
    names = headings(chapter)
    assert names.index('Summary') < names.index('Check yourself') < names.index('What this stands on')


def test_one_right_answer_and_every_answer_explained(chapter):
    for question in questions_of(chapter):
        choices = question['choices']
        assert sum(choice['right'] for choice in choices) == 1 and len(choices) >= 3, question['text']
        assert all(choice['why'].strip() for choice in choices), question['text']
        assert len({choice['text'] for choice in choices}) == len(choices), question['text']


def test_half_are_predictions_that_a_section_confirms(chapter):
    named = [question['confirmed_in'] for question in questions_of(chapter) if question['confirmed_in']]
    assert 2*len(named) >= len(questions_of(chapter))
    for name in named:
        start = next(i for i, cell in enumerate(chapter.cells) if cell.cell_type == 'markdown' and cell.source.lstrip('# ') == name)
        after = chapter.cells[start + 1:]
        end = next((i for i, cell in enumerate(after) if cell.cell_type == 'markdown' and cell.source.startswith('## ')), len(after))
        assert any(cell.cell_type == 'code' and cell.outputs for cell in after[:end]), f'no cell of "{name}" shows anything'


def test_no_question_is_asked_twice():
    chapters = [nbformat.read(ROOT/'nbs'/f'{chapter.name}.ipynb', as_version=4) for chapter in CHAPTERS]
    texts = [question['text'] for chapter in chapters for question in questions_of(chapter)]
    assert len(set(texts)) == len(texts)
