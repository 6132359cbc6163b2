"Chapter 6's functions: whatever holds numbers is taken, what can't be used is refused in one line, and the rest agrees with others."
import math

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from fastai.torch_core import TensorBase
from fastai.vision.all import TensorMultiCategory, accuracy_multi
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, precision_score, recall_score

from fastbook_notes.errors import NotesError
from fastbook_notes.multicat import (
    accuracy_at,
    best_threshold,
    binary_cross_entropy,
    decode_one_hot,
    labels_of,
    mean_average_precision,
    multicat_dataloaders,
    one_hot,
    precision_recall_at,
    split_by_is_valid,
    threshold_table,
)

LABELS = ['bus', 'car', 'cat', 'person']
MEASURES = [accuracy_at, mean_average_precision, precision_recall_at, binary_cross_entropy, threshold_table, best_threshold]
x = torch.tensor([[2., -1., 0.5, -3.], [-2., 1., 3., 0.], [0.3, -0.2, -4., 1.]])
y = torch.tensor([[1., 0., 0., 0.], [0., 1., 1., 0.], [1., 0., 0., 1.]])


def number(answer):
    "An answer of any of the measures, as an array"
    return np.asarray(answer.detach() if isinstance(answer, torch.Tensor) else answer, dtype=float)


FORMS = {
    'bool targets': (x, y.bool()), 'int targets': (x, y.long()), 'double': (x.double(), y), 'arrays': (x.numpy(), y.numpy()),
    'lists': (x.tolist(), y.tolist()), 'lists of bool': (x.tolist(), y.bool().tolist()), 'tables': (pd.DataFrame(x), pd.DataFrame(y)),
    'fastai types': (TensorBase(x), TensorMultiCategory(y)), 'with a gradient': (x.clone().requires_grad_(), y),
}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('measure', MEASURES, ids=lambda measure: measure.__name__)
def test_forms_that_are_taken(measure, form):
    np.testing.assert_allclose(number(measure(*FORMS[form])), number(measure(x, y)), rtol=1e-5)


@pytest.mark.parametrize('measure', MEASURES, ids=lambda measure: measure.__name__)
@pytest.mark.parametrize('half', [torch.bfloat16, torch.float16])
def test_half_precision_is_taken(measure, half):
    np.testing.assert_allclose(number(measure(x.to(half), y.to(half))), number(measure(x, y)), atol=0.02)


REFUSED = {
    'nan activations': (x*math.nan, y, 'not finite'), 'infinite activations': (x/0, y, 'not finite'),
    'targets of 7': (x, y*7, 'a target of 7'), 'negative targets': (x, -y, 'a target of -1'), 'nan targets': (x, y*math.nan, 'not finite'),
    'fewer targets': (x, y[:2], "don't fit"), 'fewer labels': (x[:, :3], y, "don't fit"), 'nothing': (x[:0], y[:0], 'no activation'),
    'rows of other lengths': ([[1., 2.], [3.]], y, "can't be read"), 'text': ('abc', y, "can't be read"),
    'None': (None, y, "can't be read"),
    'complex numbers': (x*1j, y, 'complex'),
}


@pytest.mark.parametrize('case', REFUSED)
@pytest.mark.parametrize('measure', MEASURES, ids=lambda measure: measure.__name__)
def test_forms_that_are_refused(measure, case):
    inputs, targets, message = REFUSED[case]
    with pytest.raises(NotesError, match=message) as error: measure(inputs, targets)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('threshold', [math.nan, 50, -0.1, [0.5]*3, [[0.5]*4]*3, 'a half', None, []], ids=str)
@pytest.mark.parametrize('measure', [accuracy_at, precision_recall_at])
def test_thresholds_that_are_refused(measure, threshold):
    with pytest.raises(NotesError) as error: measure(x, y, threshold)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('thresholds', [math.nan, [0.5, 50], [], 'a half'], ids=str)
def test_tables_of_thresholds_that_are_refused(thresholds):
    with pytest.raises(NotesError): threshold_table(x, y, thresholds)
    with pytest.raises(NotesError): best_threshold(x, y, thresholds=thresholds)


def test_one_threshold_and_one_for_each_label():
    assert threshold_table(x, y, 0.5).index.tolist() == [0.5]
    for each in ([0.5]*4, torch.full((4,), 0.5), np.full(4, 0.5)): assert accuracy_at(x, y, each) == accuracy_at(x, y)
    first = accuracy_at(x, y, [0.99, 0.5, 0.5, 0.5])
    assert first == ((x.sigmoid() > torch.tensor([0.99, 0.5, 0.5, 0.5])) == y.bool()).float().mean() != accuracy_at(x, y)


def test_soft_targets_are_for_the_loss_alone():
    soft = y*0.8 + 0.1
    torch.testing.assert_close(binary_cross_entropy(x, soft), F.binary_cross_entropy_with_logits(x, soft))
    for measure in MEASURES:
        if measure is binary_cross_entropy: continue
        with pytest.raises(NotesError, match='a target of 0.9'): measure(x, soft)


def test_the_gradient_goes_through_the_door():
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        inputs = x.clone().to(kind).requires_grad_()
        binary_cross_entropy(inputs, y.bool()).backward()
        torch.testing.assert_close(inputs.grad.float(), (x.sigmoid() - y)/y.numel(), atol=1e-3, rtol=1e-2)


WHOLE = dict(min_value=-1000, max_value=1000, width=32)
SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 6))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_activations_and_answers_agree_with_others(data):
    shape = data.draw(SHAPES)
    inputs = torch.tensor(data.draw(arrays(np.float32, shape, elements=st.floats(**WHOLE))))
    targets = torch.tensor(data.draw(arrays(np.float32, shape, elements=st.sampled_from([0., 1.]))))
    threshold = data.draw(st.floats(0, 1, width=32))
    torch.testing.assert_close(binary_cross_entropy(inputs, targets), F.binary_cross_entropy_with_logits(inputs, targets))
    torch.testing.assert_close(accuracy_at(inputs, targets, threshold), accuracy_multi(inputs, targets, thresh=threshold))
    there, named = targets.flatten().numpy(), (inputs.sigmoid() > threshold).flatten().numpy()
    theirs = [score(there, named, zero_division=math.nan) for score in (precision_score, recall_score)]
    np.testing.assert_allclose(precision_recall_at(inputs, targets, threshold), theirs, rtol=1e-5)
    if not targets.any():
        with pytest.raises(NotesError, match='has a label'): mean_average_precision(inputs, targets)
        return
    each = [average_precision_score(targets[:, i], inputs[:, i]) for i in range(shape[1]) if targets[:, i].any()]
    assert mean_average_precision(inputs, targets) == pytest.approx(np.mean(each))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(min_size=1), unique=True, min_size=1), st.data())
def test_labels_go_there_and_back(vocab, data):
    labels = data.draw(st.lists(st.sampled_from(vocab), unique=True))
    encoded = one_hot(labels, vocab)
    assert encoded.shape == (len(vocab),) and encoded.sum() == len(labels)
    assert decode_one_hot(encoded, vocab) == sorted(labels, key=vocab.index)


def test_labels_and_vocabularies_that_are_refused():
    assert one_hot('cat', LABELS).tolist() == [0, 0, 1, 0]
    for labels, vocab in ((['dog'], LABELS), ([None], LABELS), (['bus'], ['bus', 'car', 'bus'])):
        with pytest.raises(NotesError): one_hot(labels, vocab)
    for vector in ([0, 1], [0, 1, 0, 2], [0, 1, 0, math.nan], [[0, 1, 0, 0]], 'abcd', None):
        with pytest.raises(NotesError): decode_one_hot(vector, LABELS)
    with pytest.raises(NotesError): labels_of('bus car')
    with pytest.raises(NotesError): split_by_is_valid(pd.DataFrame({'fname': ['a.jpg']}))


@pytest.mark.parametrize('change', [dict(bs=0), dict(bs=-1), dict(size=0), dict(vocab=['a', 'a', 'b']), dict(vocab=['b'])], ids=str)
def test_loaders_that_can_not_be(change, tmp_path):
    from PIL import Image
    (tmp_path/'train').mkdir()
    for i in range(4): Image.new('RGB', (40, 30), (i, 0, 0)).save(tmp_path/'train'/f'{i}.png')
    table = pd.DataFrame({'fname': [f'{i}.png' for i in range(4)], 'labels': ['a', 'a b', 'b', 'a'],
                          'is_valid': [False, False, True, True]})
    assert multicat_dataloaders(tmp_path, table, size=32, bs=2).one_batch()[1].shape == (2, 2)
    with pytest.raises(NotesError): multicat_dataloaders(tmp_path, table, **{'size': 32, 'bs': 2, **change})
