"Chapter 3's functions on inputs that people really have, held against SciPy and scikit-learn."
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.vision.all import DataLoaders, Learner, error_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from scipy.stats import binomtest
from torch import nn

from fastbook_notes.errors import NotesError
from fastbook_notes.ethics import (
    amplification,
    card_metrics,
    coverage,
    error_by_group,
    mean_amplification,
    model_card,
    plot_error_by_group,
    simple_interval,
    wilson_interval,
    write_model_card,
)

NAN = float('nan')


@pytest.fixture(scope='module')
def learn():
    "Says class 1 wherever the number is above zero; wrong for 4 of 20 validation items"
    x = torch.linspace(-1, 1, 20)[:, None]
    y = (x[:, 0] > 0).long()
    y[:4] = 1
    items = list(zip(x, y))
    model = nn.Linear(1, 2)
    with torch.no_grad(): model.weight.copy_(torch.tensor([[-9.], [9.]])), model.bias.zero_()
    dls = DataLoaders.from_dsets(items, items, bs=5, val_bs=5, num_workers=0, device='cpu')
    dls.vocab = ['cat', 'dog']
    return Learner(dls, model, loss_func=nn.CrossEntropyLoss(), metrics=error_rate, cbs=[])


def card(learn, **changed):
    return model_card(**dict(title='Cat', learn=learn, data='Drawn.', intended_use='A course.', limits='No rabbits.', groups={}) | changed)


REFUSED = {
    'errors that are missing': lambda learn: wilson_interval(NAN, 10),
    'items that are missing': lambda learn: wilson_interval(1, NAN),
    'more errors than items': lambda learn: wilson_interval(3, 2),
    'no items': lambda learn: wilson_interval(0, 0),
    'no items for the textbook': lambda learn: simple_interval(0, 0),
    'a true rate in per cent': lambda learn: coverage(wilson_interval, [5]),
    'a true rate that is missing': lambda learn: coverage(wilson_interval, [NAN]),
    'coverage of no items': lambda learn: coverage(wilson_interval, [0.5], 0),
    'a confidence in per cent': lambda learn: wilson_interval(1, 2, 95),
    'counts of other shapes': lambda learn: wilson_interval([1, 2], [3, 4, 5]),
    'text for truth': lambda learn: error_by_group(['a', 'a'], ['False', 'False']),
    'text in an array': lambda learn: error_by_group(['a', 'a'], np.array(['0', '1'])),
    'text in a table': lambda learn: error_by_group(['a', 'a'], pd.Series(['0', '1'])),
    'an answer that is missing': lambda learn: error_by_group(['a', 'a'], [0, NAN]),
    'an answer of None': lambda learn: error_by_group(['a', 'a'], [True, None]),
    'a count for an answer': lambda learn: error_by_group(['a', 'a'], [0, 2]),
    'a group that is missing': lambda learn: error_by_group(['a', None], [0, 1]),
    'no answers': lambda learn: error_by_group([], []),
    'other lengths': lambda learn: error_by_group(['a'], [0, 1]),
    'one round': lambda learn: amplification([0.5]),
    'per cent': lambda learn: amplification([50, 60]),
    'a share that is missing': lambda learn: amplification([0.5, NAN]),
    'fair in per cent': lambda learn: amplification([0.5, 0.6], fair=50),
    'fair but for rounding': lambda learn: mean_amplification([0.1 + 0.2, 0.4], fair=0.3),
    'a group that is called all': lambda learn: card_metrics(learn, {'all': ['a']*20}),
    'groups for other items': lambda learn: card_metrics(learn, {'light': ['dark']}),
    'a text for groups': lambda learn: card_metrics(learn, {'light': 'x'*20}),
    'no limits': lambda learn: card(learn, limits=[]),
    'empty limits': lambda learn: card(learn, limits=' '),
    'no title': lambda learn: card(learn, title=' '),
    'no data': lambda learn: card(learn, data=''),
    'no intended use': lambda learn: card(learn, intended_use='\n'),
    'no folder': lambda learn: write_model_card('no such folder', 'card'),
}


@pytest.mark.parametrize('what', REFUSED)
def test_refused_in_one_line(what, learn):
    with pytest.raises(NotesError) as refused: REFUSED[what](learn)
    assert '\n' not in str(refused.value) and len(str(refused.value)) < 200


@pytest.mark.parametrize('wrong', ([True, False, True], [1, 0, 1], np.array([1., 0., 1.]), pd.Series([True, False, True], index=[7, 8, 9]),
                                   torch.tensor([True, False, True]), np.array([True, False, True], dtype=object)))
def test_answers_of_any_kind(wrong):
    table = error_by_group(pd.Series(['a', 'a', 'b'], index=[1, 2, 3]), wrong)
    assert table.errors.to_dict() == {'a': 1, 'b': 1} and table['items'].to_dict() == {'a': 2, 'b': 1}
    theirs = binomtest(1, 2).proportion_ci(method='wilson')
    assert (table.low['a'], table.high['a']) == pytest.approx((theirs.low, theirs.high))


def test_a_string_is_one_limit(learn):
    assert [line for line in card(learn).splitlines() if line.startswith('- ')] == [
        '- No rabbits.', '- Tested on fewer than 30 items, so that little is known: all.']


def test_the_list_of_limits_stays_as_it_was(learn):
    limits = ['No rabbits.']
    card(learn, limits=limits)
    assert limits == ['No rabbits.']


def test_the_card_counts_what_fastai_counts(learn):
    groups = {'side': ['left']*10 + ['right']*10, 'odd|even': [str(i % 2) for i in range(20)]}
    table = card_metrics(learn, groups)
    assert table.errors.to_dict() == {'all': 4, 'side: left': 4, 'side: right': 0, 'odd|even: 0': 2, 'odd|even: 1': 2}
    with learn.no_bar(): assert table.error_rate['all'] == pytest.approx(learn.validate()[1])
    rows = [line for line in card(learn, groups=groups).splitlines() if line.startswith('|')]
    assert len(rows) == 2 + len(table) and {row.count('|') for row in rows} == {5}


def test_a_loop_without_bias_at_the_end():
    assert mean_amplification([0.6, 0.5]) == 0 and amplification([0.5, 0.5]).amplification.isna().all()


def test_the_card_is_written_whole(tmp_path):
    file = write_model_card(tmp_path, 'Katze ä')
    assert file.read_text(encoding='utf-8') == 'Katze ä' and [p.name for p in tmp_path.iterdir()] == ['MODEL_CARD.md']


ODD = st.one_of(st.floats(0, 1), st.floats())
quick = settings(deadline=None, max_examples=25)


def answer(f, *args, **kwargs):
    "What a function returns, or None if it refuses in one line; anything else fails"
    try: return f(*args, **kwargs)
    except NotesError as e: assert '\n' not in str(e)


@quick
@given(st.lists(st.tuples(st.integers(-1, 40), st.integers(0, 40)), min_size=1, max_size=5), ODD)
def test_any_counts_have_an_interval_or_are_refused(counts, confidence):
    errors, items = (list(column) for column in zip(*counts))
    found = answer(wilson_interval, errors, items, confidence)
    if found is None:
        assert not 1e-15 < confidence < 1 - 1e-15 or any(not 0 <= e <= n or not n for e, n in counts)
        return
    low, high = found
    rate = np.array(errors)/items
    assert low.shape == high.shape == (len(counts),) and (0 <= low).all() and (high <= 1).all()
    assert (low <= rate + 1e-12).all() and (rate <= high + 1e-12).all()


@quick
@given(st.lists(st.tuples(st.sampled_from(['a', 'b', 1, (2, 3), None, NAN]), st.sampled_from([0, 1, True, 1., 2, '1', None])), max_size=8))
def test_any_answers_are_counted_or_refused(rows):
    groups, wrong = [group for group, _ in rows], [answer for _, answer in rows]
    table = answer(error_by_group, groups, wrong)
    if table is None: return
    assert table['items'].sum() == len(rows) and table.errors.sum() == sum(wrong)
    assert ((table.low <= table.error_rate) & (table.error_rate <= table.high)).all()


@quick
@given(st.lists(ODD, max_size=6), ODD)
def test_any_shares_are_measured_or_refused(shares, fair):
    table = answer(amplification, shares, fair)
    factor = answer(mean_amplification, shares, fair)
    if table is None: assert len(shares) < 2 or not all(0 <= share <= 1 for share in [*shares, fair])
    else: assert len(table) == len(shares) and table.bias.tolist() == pytest.approx([share - fair for share in shares], abs=2e-12)
    assert factor is None or 0 <= factor < np.inf


@quick
@given(st.text(max_size=20), st.text(max_size=20), st.lists(st.text(max_size=10), max_size=3),
       st.dictionaries(st.text(max_size=5), st.lists(st.sampled_from(['a', 'b|c', '\n', 1]), min_size=20, max_size=20), max_size=2))
def test_any_card_is_written_or_refused(learn, tmp_path_factory, title, use, limits, groups):
    text = answer(card, learn, title=title, intended_use=use, limits=limits, groups=groups)
    if text is None: assert not (title.strip() and use.strip() and any(limit.strip() for limit in limits)) or 'all' in groups
    else: assert write_model_card(tmp_path_factory.mktemp('card'), text).read_bytes().decode() == text


@settings(deadline=None, max_examples=5)
@given(st.lists(st.tuples(st.sampled_from('abc'), st.booleans()), min_size=1, max_size=8), st.booleans())
def test_any_table_is_drawn(rows, overall):
    plot_error_by_group(error_by_group(*zip(*rows)), overall=overall)
    plt.close('all')
