"Chapter 1: what its functions take, refuse and return, held against other libraries; and that the lesson begins with a picture."
import inspect
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.linear_model import LinearRegression

from conftest import ROOT
from fastbook_notes import intro
from fastbook_notes.errors import NotesError
from small_models import pets  # noqa: F401

X, Y = intro.noisy_line()
KINDS = {
    'list': list, 'series with another index': lambda values: pd.Series(values, index=range(len(values), 0, -1)),
    'column': lambda values: pd.DataFrame({'values': values})['values'], 'float32': lambda values: np.asarray(values, dtype='float32'),
    'tensor': torch.tensor, 'tensor with a gradient': lambda values: torch.tensor(values, requires_grad=True),
}


def refused(call, *words):
    "The call ends in one line that says these words"
    with pytest.raises(NotesError) as caught: call()
    line = str(caught.value)
    assert '\n' not in line and all(word in line for word in words), line


@pytest.mark.parametrize('kind', KINDS.values(), ids=KINDS)
def test_any_row_of_numbers_is_taken(kind):
    x, y = kind(X), kind(Y)
    near = dict(rel=1e-5)
    assert intro.line_loss(2, 3, x, y) == pytest.approx(intro.line_loss(2, 3, X, Y), **near)
    assert intro.line_step(0, 0, x, y) == pytest.approx(intro.line_step(0, 0, X, Y), **near)
    assert intro.fit_line(x, y, 5).iloc[-1].tolist() == pytest.approx(intro.fit_line(X, Y, 5).iloc[-1].tolist(), **near)
    sound = np.sin(np.arange(500)/5)
    assert np.allclose(intro.spectrogram(kind(sound)), intro.spectrogram(sound), atol=0.05)


def test_tables_of_numbers_become_pictures():
    table = np.arange(12.).reshape(3, 4)
    picture = np.asarray(intro.as_picture(table))
    for same in (table.tolist(), pd.DataFrame(table, index=[9, 8, 7]), torch.tensor(table, requires_grad=True), table.astype('float32')):
        assert np.array_equal(np.asarray(intro.as_picture(same)), picture)


@pytest.mark.parametrize('weights', (2, 2., np.float32(2), torch.tensor(2., requires_grad=True), [2]))
def test_parameters_of_any_kind(weights):
    assert intro.line_step(weights, 3, X, Y) == pytest.approx(intro.line_step(2, 3, X, Y))


REFUSED = {
    'one y too few': (lambda: intro.line_loss(0, 0, X, Y[1:]), 'one y for each x'),
    'a column in place of a row': (lambda: intro.line_loss(0, 0, X[:, None], Y), '(40, 1)'),
    'a missing value': (lambda: intro.line_step(0, 0, [1, None], [1, 2]), 'x must be'),
    'an infinite value': (lambda: intro.fit_line([1, np.inf], [1, 2]), 'finite'),
    'words': (lambda: intro.line_step(0, 0, ['a'], [1]), 'x must be numbers'),
    'rows of different lengths': (lambda: intro.as_picture([[1], [1, 2]]), 'must be numbers'),
    'two weights': (lambda: intro.line_step([1, 2], 0, X, Y), 'w must be one number'),
    'weights and biases that do not match': (lambda: intro.line_loss([1, 2], [1, 2, 3], X, Y), 'one b for each w'),
    'nothing': (lambda: intro.fit_line([], []), 'at least one'),
    'a rate below 0': (lambda: intro.fit_line(X, Y, lr=-0.01), 'above 0, for example 0.1'),
    'a rate of 0': (lambda: intro.fit_line(X, Y, lr=0), 'above 0'),
    'a rate that is too high': (lambda: intro.fit_line(X, Y, lr=1), 'for example 0.1'),
    'fewer steps than none': (lambda: intro.fit_line(X, Y, steps=-1), '0 or more'),
    'one point': (lambda: intro.noisy_line(n=1), 'at least 2'),
    'negative noise': (lambda: intro.noisy_line(noise=-1), 'negative'),
    'a flat picture': (lambda: intro.as_picture([1, 2, 3]), '(3,)', 'rows and columns'),
    'an empty picture': (lambda: intro.as_picture(np.zeros((0, 3))), 'make no picture'),
    'no such colours': (lambda: intro.as_picture([[1]], colours='nope'), "'nope'"),
    'low above high': (lambda: intro.as_picture([[1]], low=2, high=1), 'swap'),
    'stereo': (lambda: intro.spectrogram(np.zeros((2, 8000))), '(2, 8000)', 'one channel'),
    'a short sound': (lambda: intro.spectrogram(np.zeros(100)), '100 samples', 'too short'),
    'no hop': (lambda: intro.spectrogram(np.zeros(1000), hop=0), 'too small'),
}


@pytest.mark.parametrize('call, words', [(call, words) for call, *words in REFUSED.values()], ids=REFUSED)
def test_refused_in_one_line(call, words):
    refused(call, *words)


@pytest.mark.parametrize('name, cat', {'Birman_1.jpg': True, 'beagle_1.jpg': False, Path('Cats')/'pug_2.jpg': False, 'Élan_1.jpg': True,
                                       'école_1.jpg': False, 'Жук_1.png': True}.items())
def test_the_first_letter_tells(name, cat):
    assert intro.is_cat(name) is cat


@pytest.mark.parametrize('name', ('猫_1.jpg', 'קט_1.jpg', '2024_1.jpg', '_x.jpg', '', None, 7, ['Birman_1.jpg']))
def test_a_name_that_does_not_tell(name):
    refused(lambda: intro.is_cat(name))


@pytest.mark.parametrize('setting', (dict(valid_pct=0.001), dict(valid_pct=0), dict(valid_pct=1), dict(valid_pct=-0.2), dict(limit=0),
                                     dict(limit=-5), dict(limit=4), dict(bs=0), dict(size=0), dict(valid_pct=0.99)), ids=str)
def test_settings_that_leave_nothing(pets, setting):  # noqa: F811
    refused(lambda: intro.cat_dataloaders(pets, **setting))


def test_the_split_is_fastais(pets):  # noqa: F811
    from fastai.vision.all import ImageDataLoaders, Resize
    files = sorted(pets.glob('*.png'))
    book = ImageDataLoaders.from_name_func(pets, files, valid_pct=0.2, seed=42, label_func=intro.is_cat, item_tfms=Resize(32),
                                           num_workers=0)
    ours = intro.cat_dataloaders(pets, size=32)
    assert list(ours.valid_ds.items) == list(book.valid_ds.items) and list(ours.vocab) == list(book.vocab)


NUMBERS = st.floats(-1e3, 1e3)
ROWS = arrays(float, st.integers(1, 30), elements=NUMBERS)


@given(ROWS, NUMBERS, NUMBERS, st.floats(1e-4, 1))
@settings(max_examples=50, deadline=None)
def test_a_step_is_autograds(x, w, b, lr):
    y = x[::-1] + 1
    start = torch.tensor([w, b], dtype=torch.float64, requires_grad=True)
    ((start[0]*torch.tensor(x) + start[1] - torch.tensor(y.copy()))**2).mean().backward()
    assert np.allclose(intro.line_step(w, b, x, y, lr), (start - lr*start.grad).tolist(), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize('seed', range(5))
def test_training_ends_where_scikit_learn_does(seed):
    x, y = intro.noisy_line(seed=seed)
    best = LinearRegression().fit(x[:, None], y)
    w, b, loss = intro.fit_line(x, y, 1000).iloc[-1]
    assert (w, b) == pytest.approx((best.coef_[0], best.intercept_), abs=1e-3)
    assert loss == pytest.approx(((best.predict(x[:, None]) - y)**2).mean(), rel=1e-4)
    assert intro.fit_line(x, y, 1000, bias=False).b.eq(0).all()


TABLES = arrays(float, array_shapes(max_dims=3, max_side=5))
ANYTHING = st.none() | st.text(max_size=5) | st.floats() | st.lists(st.floats(), max_size=4) | TABLES


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_result_or_one_line(data):
    "For any argument each function returns what it says, or raises NotesError"
    one = data.draw(ANYTHING)
    calls = [lambda: intro.line_loss(one, 0, X, Y), lambda: intro.line_loss(0, 0, one, one), lambda: intro.line_step(0, one, X, Y),
             lambda: intro.line_step(0, 0, one, one), lambda: intro.fit_line(one, one, 3), lambda: intro.fit_line(X, Y, 3, lr=one),
             lambda: intro.noisy_line(w=one), lambda: intro.as_picture(one), lambda: intro.as_picture([[1, 2]], low=one),
             lambda: intro.spectrogram(one, 2, 1), lambda: intro.is_cat(one)]
    for call in calls:
        with np.errstate(all='ignore'):
            try: call()
            except NotesError as e: assert '\n' not in str(e), inspect.getsource(call)


def test_a_picture_stands_before_the_first_formula():
    "And no more than a screen of imports before it"
    cells = nbformat.read(ROOT/'nbs'/'01_intro.ipynb', as_version=4).cells
    shown = next(i for i, cell in enumerate(cells) if cell.cell_type == 'code' and 'get_dataset' in cell.source and 'imshow' in cell.source)
    assert '$' not in ''.join(cell.source for cell in cells[:shown])
    assert sum(len(cell.source.splitlines()) for cell in cells[:shown] if cell.cell_type == 'code') <= 12
    assert 'drawings' in cells[shown + 1].source
