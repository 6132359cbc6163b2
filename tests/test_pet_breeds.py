"Chapter 5: its functions take what people have, and refuse in one line what has no answer; on photos the words are worth what it says."
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fastbook_notes.data.datasets import get_dataset
from fastbook_notes.errors import NotesError
from fastbook_notes.pet_breeds import breed_learner, breed_of, cross_entropy, exponential, log_softmax, nll_loss, pet_dataloaders, softmax

ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
RIGHT = torch.tensor([0, 1, 2, 3, 0, 1])
PHOTOS = os.environ.get('FASTBOOK_NOTES_PHOTOS')


KINDS = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64


@pytest.mark.parametrize('targets', [RIGHT.to(kind) for kind in KINDS]
                         + [RIGHT.tolist(), tuple(RIGHT.tolist()), RIGHT.numpy(), pd.Series(RIGHT.numpy(), index=range(7, 13)),
                            RIGHT.numpy().astype('uint16')], ids=lambda t: f'{type(t).__name__} {getattr(t, "dtype", "")}')
@pytest.mark.parametrize('rows', [ROWS, ROWS.tolist(), ROWS.numpy(), ROWS.double(), pd.DataFrame(ROWS.numpy())],
                         ids=['tensor', 'list', 'array', 'double', 'frame'])
def test_whatever_holds_numbers_is_taken(rows, targets):
    expected = torch.nn.functional.cross_entropy(ROWS, RIGHT)
    torch.testing.assert_close(cross_entropy(rows, targets).float(), expected)
    torch.testing.assert_close(nll_loss(log_softmax(rows), targets).float(), expected)


def test_bool_targets_are_the_first_two_classes():
    rows, right = ROWS[:, :2], torch.tensor([True, False, True, True, False, False])
    torch.testing.assert_close(cross_entropy(rows, right), torch.nn.functional.cross_entropy(rows, right.long()))


def test_halves_and_whole_numbers_are_taken():
    for kind in (torch.float16, torch.bfloat16):
        assert abs(cross_entropy(ROWS.to(kind), RIGHT).item() - cross_entropy(ROWS, RIGHT).item()) < 0.05
    torch.testing.assert_close(softmax([[1, 2], [3, 3]]), torch.tensor([[1., 2.], [3., 3.]]).softmax(1))


def test_a_batch_of_fastai_goes_in_as_it_is():
    dls = pet_dataloaders(get_dataset('PETS', 'sample'), size=32, presize=32, bs=4, limit=20)
    learn = breed_learner(dls, report=lambda text: None)
    x, y = dls.one_batch()
    logits = learn.model(x)
    assert type(y) is not torch.Tensor and type(logits) is not torch.Tensor
    loss = cross_entropy(logits, y)
    plain = torch.nn.functional.cross_entropy(logits.as_subclass(torch.Tensor), y.as_subclass(torch.Tensor))
    torch.testing.assert_close(loss, plain)
    loss.backward()
    assert learn.model[1][-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize('call, message', [
    (lambda: cross_entropy(ROWS*math.nan, RIGHT), 'nan'),
    (lambda: cross_entropy(ROWS, RIGHT*math.nan), 'nan'),
    (lambda: nll_loss(ROWS*math.nan, RIGHT), 'nan'),
    (lambda: softmax([math.inf, 1.]), 'infinite'),
    (lambda: log_softmax([-math.inf, -math.inf]), 'infinite'),
    (lambda: softmax(torch.zeros(3, 0)), 'no classes'),
    (lambda: softmax(1.), 'no classes'),
    (lambda: softmax(['a', 'b']), 'not all numbers'),
    (lambda: softmax(None), 'not all numbers'),
    (lambda: softmax([[1, 2], [3]]), 'not all numbers'),
    (lambda: exponential(1j), 'Complex'),
    (lambda: cross_entropy(ROWS, RIGHT + 0.5), 'whole numbers'),
    (lambda: cross_entropy(ROWS, torch.nn.functional.one_hot(RIGHT)), 'one class for each row'),
    (lambda: cross_entropy(ROWS[0], 1), 'one class for each row'),
    (lambda: cross_entropy(ROWS, RIGHT - 1), 'from 0 to 3'),
    (lambda: cross_entropy(ROWS, RIGHT.double()*math.inf), 'nan'),
    (lambda: cross_entropy(ROWS, [0, 1, 2, 3, 0, math.inf]), 'whole numbers'),
    (lambda: cross_entropy(ROWS, ['cat']*6), 'not all numbers'),
    (lambda: cross_entropy(ROWS, RIGHT, 'median'), 'no reduction'),
    (lambda: cross_entropy(ROWS, RIGHT, ['mean']), 'no reduction'),
    (lambda: breed_of(None), 'gives no breed'),
    (lambda: breed_of('_1.jpg'), 'gives no breed'),
    (lambda: breed_of(''), 'gives no breed'),
])
def test_what_has_no_answer_is_refused_in_one_line(call, message):
    with pytest.raises(NotesError, match=message) as refused: call()
    assert '\n' not in str(refused.value)


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)),
              elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_softmax_gives_probabilities_or_refuses(rows):
    try: found = softmax(rows)
    except NotesError: return
    assert ((found >= 0) & (found <= 1)).all()
    torch.testing.assert_close(found.sum(1), torch.ones(len(rows)))
    torch.testing.assert_close(found, torch.as_tensor(rows).softmax(1))
    torch.testing.assert_close(log_softmax(rows), torch.as_tensor(rows).log_softmax(1))


@pytest.mark.parametrize('words, message', [(dict(bs=0), 'batch of 0'), (dict(limit=0), 'limit of 0'), (dict(valid_pct=-0.2), 'too few'),
                                            (dict(valid_pct=1), 'too few'), (dict(size=0), 'presize'), (dict(size=200), 'presize')])
def test_data_loaders_refuse_in_one_line(words, message):
    with pytest.raises(NotesError, match=message): pet_dataloaders(get_dataset('PETS', 'sample'), **words)


@pytest.mark.skipif(not PHOTOS, reason='FASTBOOK_NOTES_PHOTOS names no folder of photos')
def test_on_photos_the_words_lead_most_with_one_picture():
    """What the chapter says of photos: up to 1, 2 and 4 of each breed are learned, and the others asked;
    the error is a mean over breeds, because some have many photos and most have six"""
    from copy import deepcopy

    from fastai.vision.all import CategoryBlock, DataBlock, Resize, set_seed

    from fastbook_notes.data.pictures import picture_block, picture_files
    from fastbook_notes.models.features import cached_features
    from fastbook_notes.models.heads import error_share, plain_head
    files = picture_files(Path(PHOTOS)/'oxford-iiit-pet'/'images')
    block = DataBlock((picture_block(), CategoryBlock(sorted(set(map(breed_of, files))))), get_y=breed_of, item_tfms=Resize(128),
                      splitter=lambda files: (list(range(len(files))), [0]))
    learn = breed_learner(block.dataloaders(files, bs=32, num_workers=0), report=lambda text: None)
    features = cached_features(learn)[0]
    labels = torch.tensor([learn.dls.vocab.o2i[breed_of(file)] for file in files])
    words = deepcopy(learn.model[1][-1]).cpu()

    def error(start, k, seed):
        set_seed(seed)
        head = deepcopy(words) if start == 'words' else plain_head(words.in_features, words.out_features)[-1]
        mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        rows = [mixed[labels[mixed] == breed] for breed in range(words.out_features)]
        train = torch.cat([row[:min(k, len(row) - 1)] for row in rows])
        test = np.setdiff1d(np.arange(len(labels)), train)
        optimizer = torch.optim.Adam(head.requires_grad_().parameters(), lr=3e-3)
        for _ in range(40):
            cross_entropy(head(features[train]), labels[train]).backward()
            optimizer.step()
            optimizer.zero_grad()
        answers = head(features[test]).detach()
        return np.mean([error_share(answers[labels[test] == breed], breed) for breed in labels[test].unique()])

    gain = {k: np.mean([error('random', k, seed) - error('words', k, seed) for seed in range(6)]) for k in (1, 2, 4)}
    assert min(gain.values()) > 0.02 and gain[1] > 0.1 and gain[1] == max(gain.values()), gain
