"Chapter 2's functions on inputs that people really have: gaps, masks, percentages, a single name; held against pandas and PyTorch."
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.vision.all import Flip, Resize
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fastbook_notes.data.drawings.pets import draw_pet
from fastbook_notes.data.pictures import open_picture
from fastbook_notes.errors import NotesError
from fastbook_notes.production import (
    DECISIONS,
    audit,
    augmented,
    clean_labels,
    expected_cost,
    feedback_loop,
    head_learner,
    head_predictions,
    picture_features,
    roll_out,
)

NAN = float('nan')
REFUSED = {
    'a chance that is missing': lambda: expected_cost([0.1, NAN]),
    'a chance in per cent': lambda: expected_cost([10., 20.]),
    'a cost that is missing': lambda: expected_cost([0.1], check=NAN),
    'a negative cost': lambda: expected_cost([0.1], mend=-1),
    'no items': lambda: audit([]),
    'a missing group': lambda: audit(['a', None]),
    'a missing group among numbers': lambda: audit(np.array([1., NAN])),
    'a missing group in a table': lambda: audit(pd.Series(['a', pd.NA], dtype='string')),
    'a missing prediction': lambda: audit(['a', 'b'], [1., 0.], [1., NAN]),
    'text against numbers': lambda: audit(['a', 'b'], ['1', '0'], [1, 0]),
    'numbers against text': lambda: audit(['a', 'b'], np.array([1, 0]), np.array(['1', '0'])),
    'only targets': lambda: audit(['a'], [1]),
    'other lengths': lambda: audit(['a', 'b'], [1], [1]),
    'shares in per cent': lambda: roll_out([5, 10], [1, 1], 0.1),
    'checks in per cent': lambda: roll_out([0.05], [100], 0.1),
    'an error rate in per cent': lambda: roll_out([0.05], [1], 12),
    'a share that is missing': lambda: roll_out([NAN], [1], 0.1),
    'another number of weeks': lambda: roll_out([0.05], [1, 1], 0.1),
    'more exploring than there is': lambda: feedback_loop(explore=2),
    'a first share in per cent': lambda: feedback_loop(55),
    'no strength': lambda: feedback_loop(strength=0),
    'no rounds': lambda: feedback_loop(rounds=0),
    'no pictures': lambda: picture_features([]),
    'one name': lambda: picture_features('cat.jpg'),
    'no pixels': lambda: picture_features(['cat.jpg'], size=0),
}


@pytest.mark.parametrize('what', REFUSED)
def test_refused_in_one_line(what):
    with pytest.raises(NotesError) as refused: REFUSED[what]()
    assert '\n' not in str(refused.value) and len(str(refused.value)) < 200


def test_audit_counts_as_pandas_does():
    rng = np.random.default_rng(0)
    groups, targets, predictions = rng.choice(list('abc'), 200), rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    ours = audit(groups, pd.Series(targets, index=range(5, 205)), torch.tensor(predictions))
    theirs = pd.Series(targets != predictions).groupby(groups).agg(['size', 'sum', 'mean']).loc[ours.index]
    assert ours['items'].tolist() == theirs['size'].tolist() and ours.errors.tolist() == theirs['sum'].tolist()
    assert ours.error_rate.tolist() == theirs['mean'].tolist() and ours.share.sum() == pytest.approx(1)


def test_cheapest_setting_is_found_by_trying_all():
    chances = np.random.default_rng(1).random(12)
    costs = [2*k + 7*np.sort(chances)[:12 - k].sum() for k in range(13)]
    assert expected_cost(chances, 2, 7) == pytest.approx(costs)


X, LABELS = torch.randn(20, 4, generator=torch.manual_seed(0)), list('ab'*10)


def learner(valid, labels=LABELS): return head_learner(X, labels, valid, nn.Linear(4, 2))


@pytest.mark.parametrize('valid', (range(5), np.arange(5), torch.arange(5), np.arange(20) < 5, torch.arange(20) < 5,
                                   pd.Series(np.arange(20) < 5), [True]*5 + [False]*15))
def test_a_mask_means_the_same_as_positions(valid):
    dls = learner(valid).dls
    assert len(dls.train_ds) == 15 and sorted(dls.valid_ds.items) == list(range(5))


@pytest.mark.parametrize('labels', (pd.Series(LABELS, index=range(7, 27)), np.array(LABELS), torch.tensor([0, 1]*10)))
def test_labels_of_any_kind(labels):
    assert len(learner([0, 1], labels).dls.vocab) == 2


@pytest.mark.parametrize('valid', ([], [20], [-1], [0.5], [True]*5, range(20), [False]*20, [True]*20))
def test_what_sets_nothing_or_everything_aside_is_refused(valid):
    with pytest.raises(NotesError): learner(valid)


def test_other_numbers_of_labels_are_refused():
    with pytest.raises(NotesError, match='20 rows of features and 19 labels'): learner([0], LABELS[:19])


def test_features_are_those_of_the_body(tmp_path, monkeypatch):
    "timm's network, asked in the ordinary way"
    monkeypatch.setenv('FASTBOOK_NOTES_CACHE', str(tmp_path/'cache'))
    from fastbook_notes.models.backbones import imagenet_lite0
    file = tmp_path/'Birman_1.png'
    draw_pet('Birman', 1).resize((144, 144)).save(file)
    pixels = torch.from_numpy(np.array(open_picture(file))).permute(2, 0, 1)[None].float()/255
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    found = picture_features([file])
    with torch.no_grad(): wanted = [imagenet_lite0().forward_features((pixels - m)/s).mean((2, 3)) for m, s in ((mean, std), (0.5, 0.5))]
    assert found.shape == (1, 1280) and min((found - features).abs().max() for features in wanted) < 1e-3


def test_labels_that_were_passed_in_stay():
    labels = pd.Series({'a': 'cat', 'b': 'dog', 'c': 'cat'})
    decisions = pd.DataFrame([('a', 'remove', None), ('b', 'relabel', 'cat'), ('c', 'keep', 'dog')], columns=['file', 'decision', 'label'])
    assert clean_labels(labels, decisions).to_dict() == {'b': 'cat', 'c': 'cat'}
    assert labels.to_dict() == {'a': 'cat', 'b': 'dog', 'c': 'cat'}


SHARE = st.floats(0, 1)
ODD = st.one_of(SHARE, st.floats(), st.floats(-0.1, 1.1))
quick = settings(deadline=None, max_examples=25)


def answer(f, *args, **kwargs):
    "What a function returns, or None if it refuses in one line; anything else fails"
    try: return f(*args, **kwargs)
    except NotesError as e: assert '\n' not in str(e)


@quick
@given(st.lists(ODD, max_size=8), ODD | st.floats(0, 100), ODD | st.floats(0, 100))
def test_any_chances_have_a_cheapest_setting_or_are_refused(chances, check, mend):
    cost = answer(expected_cost, chances, check, mend)
    if cost is None: assert not all(0 <= x <= 1 for x in chances) or not (0 <= check < np.inf and 0 <= mend < np.inf)
    else: assert cost.shape == (len(chances) + 1,) and cost[-1] == pytest.approx(check*len(chances)) and (cost >= -1e-9*mend).all()


@quick
@given(st.lists(st.sampled_from(['a', 'b', 1, 2., (2, 3), None, NAN]), max_size=8), st.data())
def test_any_groups_are_counted_or_refused(groups, data):
    labels = st.lists(st.sampled_from(['x', 'y', 0, 1, None]), min_size=len(groups), max_size=len(groups))
    targets, predictions = data.draw(st.none() | labels), data.draw(st.none() | labels)
    table = answer(audit, groups, targets, predictions)
    if table is None: return
    assert table['items'].sum() == len(groups) and table.share.sum() == pytest.approx(1)
    if targets is not None: assert table.errors.sum() == sum(t != p for t, p in zip(targets, predictions))


@quick
@given(st.dictionaries(st.sampled_from('abcd'), st.sampled_from(['cat', 'dog', 3])),
       st.lists(st.tuples(st.sampled_from('abcde'), st.sampled_from([*DECISIONS, 'delete']), st.sampled_from(['cat', 'dog', 3, None]))))
def test_any_decisions_are_carried_out_or_refused(labels, rows):
    labels, decisions = pd.Series(labels, dtype=object), pd.DataFrame(rows, columns=['file', 'decision', 'label'])
    cleaned = answer(clean_labels, labels, decisions)
    if cleaned is None: return
    by_file = {file: (decision, label) for file, decision, label in rows}
    wanted = {file: by_file[file][1] if by_file.get(file, '')[0:1] == ('relabel',) else label for file, label in labels.items()
              if by_file.get(file, ('keep',))[0] != 'remove'}
    assert cleaned.to_dict() == wanted


@quick
@given(st.lists(st.tuples(ODD, ODD), max_size=6), ODD, ODD, st.integers(-5, 10_000))
def test_any_plan_is_simulated_or_refused(weeks, rate, stop_at, decisions):
    shares, checked = [share for share, _ in weeks], [look for _, look in weeks]
    run = answer(roll_out, shares, checked, rate, stop_at, decisions)
    if run is None: return
    assert len(run) == len(weeks) and (0 <= run.harmful).all() and (run.harmful <= run.mistakes).all()
    assert all(found in (0, share) for found, share in zip(run.share, shares))


@quick
@given(ODD, st.integers(-1, 5), ODD | st.floats(0, 1e6), ODD, st.none() | st.integers(-1, 1000))
def test_any_loop_is_simulated_or_refused(first, rounds, strength, explore, decisions):
    loop = answer(feedback_loop, first, rounds, strength, explore, decisions)
    if loop is not None: assert len(loop) == rounds + 1 and loop.stack().between(0, 1).all()


@quick
@given(st.lists(st.integers(-2, 22), max_size=25) | st.lists(st.booleans(), min_size=18, max_size=21), st.integers(18, 21))
def test_any_split_is_made_or_refused(valid, n):
    made = answer(learner, valid, LABELS[:n] if n < 20 else LABELS + ['a']*(n - 20))
    if made is None: return
    aside = np.flatnonzero(valid) if isinstance(valid[0], bool) else valid
    assert sorted(made.dls.valid_ds.items) == sorted(aside) and len(made.dls.train_ds) == 20 - len(set(aside))
    found = head_predictions(made, X)
    assert found.shape == (20, 2) and torch.allclose(found.sum(1), torch.ones(20), atol=1e-5)


@settings(deadline=None, max_examples=8)
@given(st.integers(-1, 4), st.integers(8, 24))
def test_any_number_of_versions_is_made_or_refused(tmp_path_factory, n, size):
    file = tmp_path_factory.getbasetemp()/'Birman_2.png'
    if not file.exists(): draw_pet('Birman', 2).resize((48, 40)).save(file)
    made = answer(augmented, file, Resize(size), [Flip()], n)
    if made is None: assert n < 1
    else: assert [tuple(part.shape) for part in made] == [(n, 3, size, size), (1, 3, size, size)]
