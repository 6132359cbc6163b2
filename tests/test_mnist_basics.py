"""Chapter 4's functions on any input of the kind that they declare, against PyTorch and scikit-learn; and what they refuse, in one line."""
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from sklearn.linear_model import SGDRegressor
from sklearn.metrics import accuracy_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fastbook_notes.errors import NotesError
from fastbook_notes.mnist_basics import (
    HandLearner,
    LinearModel,
    SimpleLearner,
    SimpleNet,
    TensorLoader,
    batch_accuracy,
    class_accuracy,
    digit_dataloaders,
    digit_datasets,
    hand_step,
    init_params,
    labelled_pictures,
    load_pictures,
    mnist_datasets,
    mnist_gradient,
    mnist_loss,
    sigmoid,
)

quick = settings(max_examples=30, deadline=None)
numbers = st.floats(-200, 200, width=32)
KINDS = {'tensor': torch.as_tensor, 'array': np.asarray, 'list': lambda a: np.asarray(a).tolist(),
         'half': lambda a: torch.as_tensor(a).half(),
         'double': lambda a: torch.as_tensor(a).double(), 'series': lambda a: pd.Series(np.ravel(a), index=range(5, 5 + np.size(a)))}


@st.composite
def answers(draw, most=40):
    "Activations in a row or a column, and a target of 0 or 1 for each, in a row or a column"
    n = draw(st.integers(1, most))
    z = draw(arrays(np.float32, n, elements=numbers))
    t = draw(arrays(np.int64, n, elements=st.integers(0, 1)))
    return z.reshape(-1, 1) if draw(st.booleans()) else z, t.reshape(-1, 1) if draw(st.booleans()) else t


@st.composite
def problems(draw):
    "A linear model, a batch and its targets"
    n, width, seed = draw(st.integers(1, 20)), draw(st.integers(1, 30)), draw(st.integers(0, 2**31))
    torch.manual_seed(seed)
    model = LinearModel(width, 1)
    return model, draw(st.sampled_from((0.1, 1., 10.)))*torch.randn(n, width), torch.randint(0, 2, (n, 1)).float()


@quick
@given(arrays(np.float32, array_shapes(min_dims=0, max_dims=3, min_side=0), elements=st.floats(width=32)))
def test_sigmoid_is_torchs(x):
    assert torch.allclose(sigmoid(x), torch.sigmoid(torch.as_tensor(x)), atol=1e-6, equal_nan=True)


@pytest.mark.parametrize('dtype, tolerance', [(torch.float16, 1e-3), (torch.bfloat16, 1e-2), (torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_sigmoid_and_its_slope_at_the_extremes_of_each_type(dtype, tolerance):
    x = torch.tensor([-torch.inf, -1e4, -800., -100., -12., -1., 0., 5., 100., torch.inf], dtype=dtype, requires_grad=True)
    (slope,), (wanted,) = (torch.autograd.grad(f(x).sum(), x) for f in (sigmoid, torch.sigmoid))
    assert torch.allclose(sigmoid(x), torch.sigmoid(x), atol=tolerance) and torch.allclose(slope, wanted, atol=tolerance)


@quick
@given(answers())
def test_accuracy_is_scikit_learns(pair):
    z, t = pair
    assert batch_accuracy(z,
                          t).item() == pytest.approx(accuracy_score(t.ravel(),
                                                                    torch.sigmoid(torch.as_tensor(z)).numpy().ravel() > 0.5), abs=1e-6)


@quick
@given(answers())
def test_loss_and_its_gradient_are_torchs(pair):
    z, t = torch.as_tensor(pair[0]).requires_grad_(), torch.as_tensor(pair[1]).float()
    loss, wanted = mnist_loss(z, t), F.l1_loss(torch.sigmoid(z), t.reshape(z.shape))
    assert torch.allclose(loss, wanted) and 0 <= loss <= 1
    assert torch.allclose(*(torch.autograd.grad(each, z)[0] for each in (loss, wanted)))


@pytest.mark.parametrize('predicted', KINDS)
@pytest.mark.parametrize('target', KINDS)
def test_whatever_holds_numbers_is_taken(predicted, target):
    z, t = [2., -1., 0.5, -4.], [1, 0, 0, 1]
    assert batch_accuracy(KINDS[predicted](z), KINDS[target](t)) == 0.5
    assert mnist_loss(KINDS[predicted](z),
                      KINDS[target](t)).item() == pytest.approx(F.l1_loss(torch.tensor(z).sigmoid(), torch.tensor(t)).item(), abs=1e-3)


def test_what_fastai_makes_is_taken():
    from fastbook_notes.quiet_imports import import_quietly
    vision = import_quietly('fastai.vision.all')
    pictures, targets = vision.TensorImage(torch.rand(8, 20)), vision.TensorCategory(torch.tensor([0, 1]*4))
    batches = SimpleNamespace(train=[(pictures, targets)], valid=[(pictures, targets)])
    for learner in (SimpleLearner, HandLearner):
        torch.manual_seed(0)
        model = LinearModel(20, 1)
        plain = LinearModel(20, 1)
        for p, q in zip(plain.parameters(), model.parameters()): p.data = q.data.clone()
        learner(batches, model).train_model(2, 0.5)
        xb, yb = pictures.as_subclass(torch.Tensor), targets.as_subclass(torch.Tensor)
        SimpleLearner(SimpleNamespace(train=[(xb, yb)], valid=[(xb, yb)]), plain).train_model(2, 0.5)
        assert type(model.weights.grad) in (type(None), torch.Tensor)
        for p, q in zip(plain.parameters(), model.parameters()): assert torch.allclose(p, q, atol=1e-6)
    loss = mnist_loss(vision.TensorImage(torch.zeros(2, 1)), vision.TensorCategory(torch.tensor([0, 1])))
    assert type(loss) is torch.Tensor and loss == 0.5
    assert class_accuracy(vision.TensorImage(torch.eye(3)), vision.TensorCategory(torch.arange(3))) == 1


NAN = float('nan')
REFUSED = {
    'NaN activations, accuracy': (lambda: batch_accuracy([NAN, 1], [1, 0]), 'not a number'),
    'NaN activations, loss': (lambda: mnist_loss(torch.tensor([NAN, 1]), torch.tensor([1, 0])), 'not a number'),
    'NaN activations, classes': (lambda: class_accuracy([[NAN, 1]], [1]), 'not a number'),
    'no predictions': (lambda: mnist_loss([], []), 'no predictions'),
    'a target of 7': (lambda: mnist_loss([1.], [7]), 'must be 0 or 1'),
    'an infinite target': (lambda: mnist_loss([1.], [float('inf')]), 'must be 0 or 1'),
    'a target of NaN': (lambda: batch_accuracy([1.], [NAN]), 'must be 0 or 1'),
    'a square of shapes': (lambda: mnist_loss(torch.zeros(4, 1), torch.zeros(1, 4)), "don't fit"),
    'text': (lambda: sigmoid('three'), 'must be real numbers'),
    'nothing': (lambda: mnist_loss(None, [1]), 'must be real numbers'),
    'complex numbers': (lambda: sigmoid(torch.zeros(2, dtype=torch.complex64)), 'must be real numbers'),
    'rows of unequal length': (lambda: sigmoid([[1.], [1., 2.]]), 'must be real numbers'),
    'a class out of range': (lambda: class_accuracy(torch.eye(3), [0, 1, 3]), 'from 0 to 2'),
    'a negative class': (lambda: class_accuracy(torch.eye(3), [0, 1, -1]), 'from 0 to 2'),
    'half a class': (lambda: class_accuracy(torch.eye(3), [0, 1, 0.5]), 'from 0 to 2'),
    'targets that are as many by chance': (lambda: class_accuracy(torch.zeros(10, 2), torch.zeros(5, 2)), "don't fit"),
    'activations in a row': (lambda: class_accuracy(torch.zeros(3), torch.zeros(3)), "don't fit"),
    'a negative size': (lambda: init_params((3, -1)), 'A size must be'),
    'a size of 2.5': (lambda: init_params(2.5), 'A size must be'),
    'a negative spread': (lambda: init_params(3, -1.), 'standard deviation'),
    'no inputs': (lambda: LinearModel(0, 1), 'in_features must be'),
    'no outputs': (lambda: SimpleNet(3, 0), 'out_features must be'),
    'a batch of nothing': (lambda: TensorLoader([(1., 2.)], 0), 'batch_size must be'),
    'a batch of half': (lambda: TensorLoader([(1., 2.)], 0.5), 'batch_size must be'),
    'no items': (lambda: TensorLoader([]), 'no items'),
    'no rows': (lambda: TensorLoader(TensorDataset(torch.zeros(0, 2))), 'no items'),
    'items of two shapes': (lambda: TensorLoader([(torch.zeros(2), 1), (torch.zeros(3), 1)]), 'the same shapes'),
    'items that are no tuples': (lambda: TensorLoader([1, 2]), 'must be tuples'),
    'pairs and triples': (lambda: TensorLoader([(1, 2), (1, 2, 3)]), 'must be tuples'),
    'text in items': (lambda: TensorLoader([('a', 1)]), 'must be tuples'),
    'a picture of NaN': (lambda: digit_dataloaders([(torch.tensor([NAN]), 1)], [(torch.tensor([1.]), 1)]), 'training data hold'),
    'an infinite picture': (lambda: digit_dataloaders([(torch.tensor([1.]), 1)], [(torch.tensor([torch.inf]), 1)]), 'validation data hold'),
    'the gradient of another model': (lambda: HandLearner(None, SimpleNet(3, 1)), 'one activation'),
    'the gradient of two activations': (lambda: HandLearner(None, LinearModel(3, 2)), 'one activation'),
    'targets for another batch': (lambda: HandLearner(SimpleNamespace(train=[(torch.zeros(4, 3), torch.zeros(1, 4))]), LinearModel(3, 1))
        .train_epoch(0.1), "don't fit"),
    'no folder': (lambda: load_pictures('nowhere'), 'no pictures in nowhere'),
    'no classes': (lambda: labelled_pictures('nowhere', []), 'each once'),
    'a class twice': (lambda: labelled_pictures('nowhere', [3, '3']), 'each once'),
}


@pytest.mark.parametrize('what', REFUSED)
def test_is_refused_in_one_line(what):
    make, message = REFUSED[what]
    with pytest.raises(NotesError, match=message) as refused: make()
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('epochs, rate, message', [
    (-1, 1., 'epochs'), (1.5, 1., 'epochs'), (None, 1., 'epochs'), (1, -0.1, 'learning rate'),
    (1, NAN, 'learning rate'), (2, float('inf'), 'lower one'),
])
@pytest.mark.parametrize('learner', [SimpleLearner, HandLearner])
def test_training_refuses(learner, epochs, rate, message):
    loader = TensorLoader(list(zip(torch.randn(9, 4), torch.tensor([[0.], [1.], [1.]]*3))), 2)
    with pytest.raises(NotesError, match=message):
        learner(SimpleNamespace(train=loader, valid=loader), LinearModel(4, 1)).train_model(epochs, rate)


@quick
@given(st.integers(1, 30), st.integers(2, 12), st.integers(0, 2**31))
def test_class_accuracy_is_scikit_learns(n, classes, seed):
    rng = np.random.default_rng(seed)
    z, t = rng.normal(size=(n, classes)), rng.integers(classes, size=n)
    for targets in (t, t[:, None], t.tolist(), torch.as_tensor(t).int(), torch.as_tensor(t).float()):
        assert class_accuracy(z, targets).item() == pytest.approx(accuracy_score(t, z.argmax(1)), abs=1e-6)


@quick
@given(st.lists(st.integers(0, 5), max_size=3).map(tuple), st.floats(0, 100))
def test_init_params_has_the_shape(shape, std):
    made = init_params(shape, std)
    assert made.shape == shape and made.requires_grad and made.is_leaf and made.isfinite().all() and made.dtype == torch.float32


@quick
@given(problems())
def test_linear_model_is_torchs(problem):
    model, xb, _ = problem
    theirs = nn.Linear(*model.weights.shape)
    theirs.load_state_dict({'weight': model.weights.detach().T, 'bias': model.bias.detach()})
    assert torch.allclose(model(xb), theirs(xb), atol=1e-4)
    for each in (model, theirs): (each(xb)**2).mean().backward()
    assert torch.allclose(model.weights.grad, theirs.weight.grad.T, rtol=1e-3, atol=1e-4)
    assert torch.allclose(model.bias.grad, theirs.bias.grad, rtol=1e-3, atol=1e-4)


@quick
@given(problems())
def test_the_gradient_by_hand_is_autograds(problem):
    model, xb, yb = problem
    wanted = torch.autograd.grad(F.l1_loss(torch.sigmoid(model(xb)), yb), model.parameters())
    for ours, theirs in zip(mnist_gradient(torch.sigmoid(model(xb)), xb, yb), wanted): assert torch.allclose(ours, theirs, atol=1e-6)
    for targets in (yb, yb[:, 0], yb.int()):
        twin = deepcopy(model)
        with torch.no_grad(): loss = hand_step(twin, xb, targets, 0.5)
        assert loss.item() == pytest.approx(F.l1_loss(torch.sigmoid(model(xb)), yb).item(), abs=1e-6)
        for p, before, theirs in zip(twin.parameters(), model.parameters(), wanted):
            assert p.grad is None and torch.allclose(p, before - 0.5*theirs, atol=1e-5)


@quick
@given(problems(), st.integers(1, 7))
def test_by_hand_and_by_autograd_lead_to_the_same_weights(problem, batch_size):
    model, xb, yb = problem
    loader = TensorLoader(TensorDataset(xb.double(), yb.double()), batch_size) # Steps on large inputs magnify what 32 bits round
    learners = []
    for learner in (SimpleLearner, HandLearner):
        twin = LinearModel(*model.weights.shape)
        for p, q in zip(twin.parameters(), model.parameters()): p.data = q.data.double()
        learners.append(learner(SimpleNamespace(train=loader, valid=loader), twin))
        learners[-1].train_model(2, 0.3)
    for p, q in zip(*(learner.model.parameters() for learner in learners)): assert torch.allclose(p, q, atol=1e-6)
    assert learners[0].accuracies == pytest.approx(learners[1].accuracies)


def test_the_learner_does_what_scikit_learns_sgd_does():
    "Squared error, a constant rate, no penalty, and batches of one, in order: both packages take the same steps"
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=50)
    theirs = SGDRegressor(penalty=None, learning_rate='constant', eta0=0.02, max_iter=3, tol=None, shuffle=False).fit(x, y)
    model = LinearModel(4, 1)
    model.weights.data.zero_()
    loader = TensorLoader(list(zip(torch.tensor(x).float(), torch.tensor(y).float()[:, None])), 1)
    learner = SimpleLearner(SimpleNamespace(train=loader, valid=loader), model, loss_func=lambda z,
                            t: F.mse_loss(z, t)/2, metric=F.mse_loss)
    for _ in range(3): learner.train_epoch(0.02)
    assert np.allclose(model.weights.detach()[:, 0], theirs.coef_, atol=1e-5) and np.allclose(model.bias.detach(),
        theirs.intercept_, atol=1e-5)
    assert learner.validate_epoch() == pytest.approx(((theirs.predict(x) - y)**2).mean(), abs=1e-4)


def test_a_metric_may_be_a_plain_number():
    loader = TensorLoader(TensorDataset(torch.zeros(5, 2), torch.zeros(5, 1)), 2)
    assert SimpleLearner(SimpleNamespace(train=loader, valid=loader), LinearModel(2, 1), metric=lambda z, t: 0.25).validate_epoch() == 0.25


@quick
@given(st.integers(1, 40), st.integers(1, 50))
def test_batches_are_a_dataloaders(n, batch_size):
    data = TensorDataset(torch.randn(n, 3), torch.arange(n))
    for items in (data, list(data), tuple(zip(data.tensors[0].numpy(), range(n))), zip(*data.tensors)):
        loader = TensorLoader(items, batch_size)
        batches = list(loader)
        assert len(loader) == len(batches)
        for ours, theirs in zip(batches, DataLoader(data, batch_size), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@quick
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 2**31))
def test_shuffled_batches_hold_each_pair_once(n, batch_size, seed):
    torch.manual_seed(seed)
    parts = [torch.cat(part) for part in zip(*TensorLoader(TensorDataset(torch.arange(n), 10*torch.arange(n)), batch_size, shuffle=True))]
    assert torch.equal(parts[0].sort().values, torch.arange(n)) and torch.equal(parts[1], 10*parts[0])


def test_a_data_set_without_an_end_to_its_iteration_is_read_by_its_length():
    class Endless:
        def __len__(self): return 4
        def __getitem__(self, i): return torch.tensor([float(i)]), i % 2
    (x, y), = TensorLoader(Endless(), 8)
    assert x[:, 0].tolist() == [0, 1, 2, 3] and y.tolist() == [0, 1, 0, 1]


@pytest.fixture
def digits(tmp_path):
    "A folder for each digit, with PNG as Pillow writes it: grey, colour, palette and one bit"
    rng = np.random.default_rng(0)
    for split in ('training', 'testing', 'train', 'valid'):
        for digit in range(10):
            (tmp_path/split/str(digit)).mkdir(parents=True)
            for i, mode in enumerate(('L', 'RGB', 'P', '1')):
                Image.fromarray(rng.integers(0, 256, (4, 6), dtype='uint8')).convert(mode).save(tmp_path/split/str(digit)/f'{i}.png')
            (tmp_path/split/str(digit)/'._0.png').write_bytes(b'litter')
    return tmp_path


def test_pictures_are_what_pillow_sees(digits):
    found = load_pictures(digits/'train'/'3')
    wanted = [np.asarray(Image.open(digits/'train'/'3'/f'{i}.png').convert('L'))/255 for i in range(4)]
    assert found.shape == (4, 4, 6) and np.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize('names', ['37', [3, 7], ('3', '7'), np.array([3, 7]), iter('37')])
def test_classes_by_any_name(digits, names):
    x, y = labelled_pictures(digits/'train', names)
    assert torch.equal(x, torch.cat([load_pictures(digits/'train'/d) for d in '37']).flatten(1)) and y.tolist() == [0]*4 + [1]*4


def test_data_sets(digits):
    (train, valid), (ten, _) = mnist_datasets(digits), digit_datasets(str(digits))
    assert len(train) == len(valid) == 8 and train.tensors[1].flatten().tolist() == [1]*4 + [0]*4 and len(ten) == 40
    dls = digit_dataloaders(train, valid, 3)
    assert [len(x) for x, _ in dls.train] == [3, 3, 2] and torch.equal(torch.cat([y for _, y in dls.valid]), valid.tensors[1])
