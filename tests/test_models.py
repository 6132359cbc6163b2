"A predictor says what its learner says, from a folder or from memory; and what can't be kept is said before training."
import json
import os
import random
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image

from fastbook_notes.errors import NotesError
from fastbook_notes.models.backbones import pretrained_learner
from fastbook_notes.models.model_folder import check_can_save, load_model, predictor_of, save_model
from odd_pictures import check_survey, run_survey
from small_models import SIZES, SMALL, cat_model, model, pets, picture, small_learner, vision  # noqa: F401 -- fixtures

posix_only = pytest.mark.skipif(os.name == 'nt', reason='forks and kills as POSIX does')


# Every chapter's model

def cropped_cat_model(vision, pets, tmp):
    from fastbook_notes.intro import cat_dataloaders, cat_learner
    return cat_learner(cat_dataloaders(pets, item_tfms=vision.RandomResizedCrop(96, min_scale=0.35), bs=8), 'resnet18', pretrained=False)


def breed_model(vision, pets, tmp):
    from fastbook_notes.pet_breeds import breed_learner, pet_dataloaders
    return breed_learner(pet_dataloaders(pets, size=64, presize=150, bs=8))


def several_model(vision, pets, tmp):
    import pandas as pd

    from fastbook_notes.multicat import multicat_dataloaders, multicat_learner
    shutil.copytree(pets, tmp/'train')
    names = sorted(file.name for file in pets.iterdir())
    labels = [name.partition('_')[0] + ' pet' for name in names]
    table = pd.DataFrame({'fname': names, 'labels': labels, 'is_valid': [i % 5 == 0 for i in range(len(names))]})
    return multicat_learner(multicat_dataloaders(tmp, table, size=64, bs=8))


def book_model(vision, pets, tmp):
    "As the book makes it: presized, with crops on the batch"
    dls = vision.ImageDataLoaders.from_name_func(pets, sorted(pets.iterdir()), label_func=lambda name: name[0].isupper(), valid_pct=0.2,
                                                 seed=42, bs=8, num_workers=0, item_tfms=vision.Resize(80),
                                                 batch_tfms=vision.aug_transforms(size=48, min_scale=0.75))
    return vision.vision_learner(dls, vision.resnet34, pretrained=False)


def grey_model(vision, pets, tmp):
    block = vision.DataBlock((vision.ImageBlock(vision.PILImageBW), vision.CategoryBlock), get_y=lambda file: file.name[0],
                             item_tfms=vision.Resize(32, vision.ResizeMethod.Pad, pad_mode='border'))
    return vision.vision_learner(block.dataloaders(sorted(pets.iterdir()), bs=8, num_workers=0), vision.resnet18, pretrained=False, n_in=1)


def same_answer(label, answer):
    "Whether a predictor's label is fastai's"
    return label == list(answer[0]) if isinstance(label, list) else str(label) == str(answer[0])


@pytest.mark.parametrize('make', [cat_model, cropped_cat_model, breed_model, several_model, book_model, grey_model],
                         ids=lambda make: make.__name__)
def test_the_saved_model_says_what_the_learner_says(make, vision, pets, tmp_path, record_property):
    vision.set_seed(0)
    learn = make(vision, pets, tmp_path)
    with torch.no_grad():
        for p in learn.model[1].parameters(): p.add_(0.1*torch.randn_like(p))
    predictor, in_memory = load_model(save_model(learn, tmp_path/'model')), predictor_of(learn)
    files = [tmp_path/f'{width}x{height}.png' for width, height in SIZES]
    for file, size in zip(files, SIZES): picture(*size, seed=5).save(file)
    labels, probabilities = predictor.predict(files)
    with learn.no_bar(), learn.no_logging():
        theirs = [learn.predict(file if make is not several_model else vision.PILImage.create(file)) for file in files]
    gap = max((row - answer[2]).abs().max().item() for row, answer in zip(probabilities, theirs))
    record_property('figure', f'{make.__name__}: probabilities within {gap:.1g} of the learner\'s')
    assert gap <= 1e-4 and torch.allclose(in_memory.probabilities(files), probabilities, atol=1e-5)
    for label, file, answer in zip(labels, files, theirs):
        one = predictor.predict(file)
        assert same_answer(label, answer) and one.label == label and (one.probabilities - answer[2]).abs().max() <= 1e-4
    described = [p.description.model_dump(exclude={'card'}) for p in (predictor, in_memory)]
    assert predictor.vocab == list(learn.dls.vocab) and described[0] == described[1]


def test_pictures_from_anywhere_give_the_same(model, tmp_path):
    predictor = load_model(model)
    picture(50, 70).save(tmp_path/'a.png')
    data, expected = (tmp_path/'a.png').read_bytes(), predictor.predict(tmp_path/'a.png').probabilities
    for source in (str(tmp_path/'a.png'), data, bytearray(data), memoryview(data), picture(50, 70)):
        assert torch.equal(predictor.predict(source).probabilities, expected)
    for many in ([data]*3, (data for _ in range(3)), tuple([data]*3), torch.stack([predictor.prepare(data)]*3)):
        labels, probabilities = predictor.predict(many, bs=2)
        assert len(labels) == 3 and torch.allclose(probabilities, expected.expand(3, -1), atol=1e-6)
    assert predictor.predict([]).label == [] and predictor.predict([]).probabilities.shape == (0, 2)


# In memory

def test_a_learner_is_asked_without_being_changed(small_learner, vision, pets):
    "It may be trained before, between and after; the predictor shares its weights"
    learn, file = small_learner, min(pets.iterdir())
    needs = [p.requires_grad for p in learn.model.parameters()]
    predictor = predictor_of(learn, names=['dog', 'cat'])
    learn.model.train()
    before = predictor.probabilities(file)
    assert torch.equal(before, predictor.probabilities(file)) and [p.requires_grad for p in learn.model.parameters()] == needs
    with torch.no_grad(): learn.model[1][-1].weight[0].add_(2)
    assert predictor.probabilities(file)[0] > before[0] + 0.01
    with torch.no_grad(): learn.model[1][-1].weight[0].sub_(2)
    assert predictor_of(predictor) is predictor and predictor.top(before)[0][0] in ('dog', 'cat')


def test_a_folder_is_a_predictor(model):
    assert predictor_of(model).names == predictor_of(str(model)).names == ['dog', 'cat']
    assert [predictor_of(model).name_of(label) for label in (False, True)] == ['dog', 'cat']


@pytest.mark.parametrize('seed', range(3))
def test_the_map_is_captums(small_learner, seed):
    predictor, shown = predictor_of(small_learner), picture(70, 90, seed)
    x = predictor.scaled(predictor.prepare(shown)[None])
    mean, std = (torch.tensor(values)[:, None, None] for values in (predictor.description.picture.mean, predictor.description.picture.std))
    cam = LayerGradCam(predictor.model, predictor.model[0])
    for position, label in enumerate(predictor.vocab):
        theirs = cam.attribute(((x - mean)/std).requires_grad_(), target=position, relu_attributions=True)[0, 0].detach()
        assert np.allclose(predictor.heatmap(shown, label), theirs/theirs.max().clamp(min=1e-12), atol=1e-4)
    with pytest.raises(NotesError, match="no label 'rabbit'"): predictor.heatmap(shown, 'rabbit')


def test_a_body_without_maps_has_no_places(vision, pets):
    dls = vision.ImageDataLoaders.from_name_func(pets, sorted(pets.iterdir()), label_func=lambda name: name[0].isupper(), bs=8,
                                                 num_workers=0, item_tfms=vision.Resize(160))
    learn = vision.vision_learner(dls, 'test_vit', pretrained=False, custom_head=torch.nn.Linear(64, 2))
    predictor = predictor_of(learn)
    assert predictor.probabilities(picture(50, 50)).shape == (2,)
    with pytest.raises(NotesError, match='makes no maps'): predictor.heatmap(picture(50, 50), True)


@pytest.mark.parametrize('temperature', [2., [1., 4.]])
def test_the_temperature_divides_the_activations(small_learner, tmp_path, temperature):
    predictor = load_model(save_model(small_learner, tmp_path/'model', temperature=temperature))
    pixels = predictor.prepare(picture(40, 40))[None]
    expected = (predictor.activations(pixels)/torch.tensor(temperature)).softmax(1)
    assert torch.allclose(predictor.probabilities(pixels), expected, atol=1e-6)
    assert not torch.allclose(predictor_of(small_learner).probabilities(pixels), expected, atol=1e-3)


# What it brings along

def test_what_was_given_comes_back(vision, pets, tmp_path):
    learn, table = several_model(vision, pets, tmp_path), [(0.1, 0.5, 1.0), (0.9, float('nan'), 0.)]
    names = [f'Rasse {label}' for label in learn.dls.vocab]
    kept = dict(names=names, thresholds=table, threshold=0.3, metrics={'F1': np.float32(0.5), 'odd': float('nan')},
                card='# Mine\r\nNothing.', data='D', licence='L')
    predictor = load_model(save_model(learn, tmp_path/'model', **kept))
    assert predictor.names == names and predictor.thresholds == [[0.1, 0.5, 1.0], [0.9, None, 0.0]] and predictor.threshold == 0.3
    assert predictor.metrics == {'F1': 0.5} and predictor.card == '# Mine\nNothing.' and predictor.several
    data = predictor.description.data
    assert (data.name, data.licence, data.trained, data.validated) == ('D', 'L', len(learn.dls.train_ds), len(learn.dls.valid_ds))


# Any number of classes

def with_classes(vision, pets, vocabulary):
    "A learner whose vocabulary has entries for pictures that aren't there"
    files = sorted(pets.iterdir())
    block = vision.DataBlock((vision.ImageBlock, vision.CategoryBlock(vocab=vocabulary, sort=False)), item_tfms=vision.Resize(32),
                             get_y=lambda file: vocabulary[files.index(file) % len(vocabulary)])
    return pretrained_learner(block.dataloaders(files, bs=8, num_workers=0), SMALL, pretrained=False, lin_ftrs=[16])


@pytest.mark.parametrize('n', [120, 5000])
def test_many_classes_are_kept_and_asked(n, vision, pets, tmp_path):
    learn = with_classes(vision, pets, [f'class {i}' for i in range(n)])
    check_can_save(learn)
    with torch.no_grad(): learn.model[1][-1].weight.mul_(20)
    folder = save_model(learn, tmp_path/'model', names=[f'Klasse {i}' for i in range(n)])
    start = time.process_time()
    predictor = load_model(folder)
    assert time.process_time() - start < 2
    file = min(pets.iterdir())
    label, probabilities = predictor.predict(file)
    with learn.no_bar(), learn.no_logging(): theirs = learn.predict(file)
    assert label == theirs[0] and probabilities.shape == (n,) and torch.allclose(probabilities, theirs[2], atol=1e-5)
    assert predictor.top(probabilities, 1)[0][0] == label.replace('class', 'Klasse')
    assert len((folder/'README.md').read_text()) < 5000


@pytest.mark.parametrize('vocabulary', [[False, True], [3, 1, 2], [0.5, 1.5], ['a', '', 'None', 'ü\n', '007', 'x'*900]],
                         ids=['bool', 'int', 'float', 'str'])
def test_classes_of_any_type_come_back(vocabulary, vision, pets, tmp_path):
    predictor = load_model(save_model(with_classes(vision, pets, vocabulary), tmp_path/'model'))
    assert predictor.vocab == vocabulary and [type(label) for label in predictor.vocab] == [type(label) for label in vocabulary]
    assert all(name and name.isprintable() for name in predictor.names) and predictor.predict(picture(30, 30)).label in vocabulary


def test_100_000_classes_are_described(small_learner):
    "Without a head of that size, which would take minutes: the description is written and read as it is for a model"
    from fastbook_notes.models.description import read_description
    n, described = 100_000, predictor_of(small_learner).description.model_dump()
    described['head'][-1]['out_features'] = n
    described |= dict(vocabulary=[f'{i:x}' for i in range(n)], names=[f'Nr. {i}' for i in range(n)], temperature=[1.0]*n)
    start = time.process_time()
    assert len(read_description(json.dumps(described)).vocabulary) == n
    assert time.process_time() - start < 2


# Refused before training

def refused_learners(vision, pets):
    "Learners that a folder can't hold, and what is said about each"
    files = sorted(pets.iterdir())

    def learner(block=vision.CategoryBlock, arch=SMALL, custom_head=None, loss_func=None, **kwargs):
        data = vision.DataBlock((vision.ImageBlock, block),
                                get_y=lambda file: file.stat().st_size/1e3 if block is vision.RegressionBlock else file.name[0], **kwargs)
        return pretrained_learner(data.dataloaders(files, bs=8, num_workers=0), arch, pretrained=False, custom_head=custom_head,
                                  loss_func=loss_func)

    class Mirrored(vision.Transform):
        order = 5
        def encodes(self, x: vision.PILImage): return x.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    resize = dict(item_tfms=vision.Resize(32))
    yield 'loss BaseLoss', learner(vision.RegressionBlock, **resize)
    yield 'transform Mirrored', learner(item_tfms=[vision.Resize(32), Mirrored()])
    layers = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(256, 4), torch.nn.Tanh()
    yield 'a layer Tanh', learner(custom_head=torch.nn.Sequential(*layers), **resize)
    yield 'no architecture xresnet18', learner(arch=vision.xresnet18, **resize)
    changed = learner(**resize)
    changed.model[0].forward = lambda x: torch.flip(type(changed.model[0]).forward(changed.model[0], x), [1])
    yield 'would not say what the learner says', changed
    named = SimpleNamespace(vocab=['pug', 'caf\udce9'])
    yield r"The class caf\\xe9 has a name that isn't UTF-8", SimpleNamespace(model=changed.model, arch=changed.arch, dls=named,
                                                                            loss_func=changed.loss_func)
    yield 'a body and a head', SimpleNamespace(model=torch.nn.Linear(2, 2), dls=changed.dls, loss_func=changed.loss_func)


def test_what_cannot_be_kept_is_said_before_training(vision, pets, tmp_path):
    for message, learn in refused_learners(vision, pets):
        with pytest.raises(NotesError, match=message) as early: check_can_save(learn)
        with pytest.raises(NotesError, match=message): save_model(learn, tmp_path/'no')
        assert len(str(early.value).splitlines()) == 1
    assert not (tmp_path/'no').exists()


def test_too_many_classes_are_said_before_training(small_learner):
    learn = SimpleNamespace(model=small_learner.model, arch=small_learner.arch, dls=SimpleNamespace(vocab=range(100_001)),
                            loss_func=small_learner.loss_func)
    with pytest.raises(NotesError, match='100,001 classes'): check_can_save(learn)


@pytest.mark.parametrize('given, message', [(dict(names=['dog']), 'names'), (dict(names=['dog', '']), 'names.1'),
                                            (dict(threshold=2., names=None), ''),
                                            (dict(temperature=0.), 'temperature'), (dict(temperature=[1.]), 'temperatures'),
                                            (dict(card='x'*2_000_000), 'card'),
                                            (dict(thresholds=[(1.5, 0, 0)]), 'thresholds.0.0')])
def test_what_is_given_is_checked_too(small_learner, given, message):
    if not message: return check_can_save(small_learner, **given) # A threshold means nothing for one label
    with pytest.raises(NotesError, match=message): check_can_save(small_learner, **given)


def test_the_check_leaves_training_as_it_is(small_learner, vision):
    "No random number is used up, nothing is trained"
    states = []
    for check in (False, True):
        vision.set_seed(7)
        small_learner.dls.train.rng = random.Random(7)
        if check: check_can_save(small_learner)
        states.append((torch.rand(3).tolist(), np.random.rand(3).tolist(), [b[1].tolist() for b in small_learner.dls.train]))
    assert states[0] == states[1]


# What it costs

PREDICT = '''
import sys
from fastbook_notes.models.model_folder import load_model
heavy = {'fastai', 'fastcore', 'pandas', 'matplotlib', 'IPython', 'pickle5', 'dill'}
print(load_model(sys.argv[1]).predict(sys.argv[2]).label, *sorted({name.partition('.')[0] for name in sys.modules} & heavy))
'''


def test_the_first_prediction_needs_no_fastai(vision, pets, tmp_path, record_property):
    folder, file = save_model(cat_model(vision, pets, tmp_path), tmp_path/'lite0'), min(pets.iterdir())

    def seconds(*words):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, '-c', *map(str, words)], capture_output=True, text=True, cwd=tmp_path,
                              env={**os.environ, 'OMP_NUM_THREADS': '1'})
        assert done.returncode == 0 and done.stderr == '', done.stderr
        return time.perf_counter() - start, done.stdout.split()

    (bare, _), (ours, words) = seconds('import torch, timm'), seconds(PREDICT, folder, file)
    record_property('figure', f'First prediction with lite0: {ours/bare:.2f} times `import torch, timm` ({ours:.1f} s to {bare:.1f} s)')
    assert words in (['True'], ['False'])


@posix_only
def test_every_odd_picture_is_predicted_or_refused(model, tmp_path, record_property):
    code = ('from fastbook_notes.models.model_folder import load_model; import torch; torch.set_num_threads(1); '
            f'print(json.dumps(survey(load_model({str(model)!r}).predict, pathlib.Path("."), mutated=100)))')
    check_survey(run_survey(code, tmp_path), 'Predictions', record_property)
