"Heads from ImageNet's words, on photos that come with packages, and on real ones where FASTBOOK_NOTES_PHOTOS names their folder."
import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import timm
import torch
from fastai.vision.all import vision_learner
from fastai.vision.learner import TimmBody
from PIL import Image
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_sample_images
from torch import nn

from fastbook_notes.errors import NotesError
from fastbook_notes.models.backbones import imagenet_lite0
from fastbook_notes.models.calibration import calibrate, expected_calibration_error, shift_bias
from fastbook_notes.models.heads import (
    Anchor,
    error_share,
    find_classifier,
    imagenet_classifier,
    mean_rows,
    plain_head,
    wise_average,
    wise_curve,
    words_head,
    words_learner,
)
from fastbook_notes.models.imagenet_words import SYNONYMS, class_words, imagenet_ids, imagenet_names, neither, words_table

PETS = ['Abyssinian', 'Bengal', 'Birman', 'Bombay', 'British_Shorthair', 'Egyptian_Mau', 'Maine_Coon', 'Persian', 'Ragdoll', 'Russian_Blue',
        'Siamese', 'Sphynx', 'american_bulldog', 'american_pit_bull_terrier', 'basset_hound', 'beagle', 'boxer', 'chihuahua',
        'english_cocker_spaniel', 'english_setter', 'german_shorthaired', 'great_pyrenees', 'havanese', 'japanese_chin', 'keeshond',
        'leonberger', 'miniature_pinscher', 'newfoundland', 'pomeranian', 'pug', 'saint_bernard', 'samoyed', 'scottish_terrier',
        'shiba_inu', 'staffordshire_bull_terrier', 'wheaten_terrier', 'yorkshire_terrier']
VOC = ['aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse', 'motorbike',
       'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor']
CATS = {False: ['dog'], True: ['cat']}


@pytest.fixture(scope='module')
def lite0():
    return imagenet_lite0()


def seen(model, photos):
    "The body's features of some arrays, prepared as timm has it"
    prepare = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    with torch.no_grad():
        return model.forward_features(torch.stack([prepare(Image.fromarray(photo).convert('RGB')) for photo in photos]))


# The words

def test_all_words_are_imagenets():
    "Names as torchvision has them, which were written down by others"
    from torchvision.models._meta import _IMAGENET_CATEGORIES as theirs
    ours = [{name.lower() for name in names} for names in imagenet_names()]
    assert np.mean([name.lower() in names for name, names in zip(theirs, ours)]) > 0.95
    assert all(imagenet_ids(words) for words in SYNONYMS.values())


@pytest.mark.parametrize('kind, first, last, count', [('cat', 281, 285, 5), ('dog', 151, 268, 118), ('bird', 7, 146, 59)])
def test_kinds_are_the_numbers_that_others_use(kind, first, last, count):
    found = class_words(kind)[0]
    assert (found[0], found[-1], len(found)) == (first, last, count)


def test_every_class_of_the_data_sets_has_words():
    assert words_table(PETS).found.value_counts().to_dict() == {'name': 19, 'table': 15, 'kind': 3}
    assert (words_table(VOC)['count'] > 0).all()
    assert words_table(['my garden', 'qwertz'])['count'].tolist() == [0, 0]


@pytest.mark.parametrize('name', ['Great_Pyrenees', 'great pyrenees', 'GREAT-PYRENEES', ' great  pyrenees '])
def test_names_are_read_as_people_write_them(name):
    assert class_words(name)[0] == [257]


def test_words_of_ones_own_go_first_and_are_checked():
    assert class_words('crane', {'crane': 'tow truck'})[1] == 'yours'
    assert class_words(True, CATS)[0] == class_words('cat')[0]
    with pytest.raises(NotesError, match="'tabbi'; did you mean tabby"): class_words('x', {'x': ['tabbi']})


# The classifier and the rows

@pytest.mark.parametrize('name, stands_on_averages', [('resnet18', True), ('efficientnet_b0', True), ('mobilenetv3_small_050', False),
                                                      ('convnext_atto', False), ('vit_tiny_patch16_224', False)])
def test_a_classifier_is_found_where_it_means_the_same(name, stands_on_averages):
    size = {'img_size': 96} if name.startswith('vit') else {}
    whole = timm.create_model(name, pretrained=False, **size).eval()
    if 'resnet' in name: nn.init.normal_(whole.fc.weight)
    assert (find_classifier(whole, TimmBody(whole)) is not None) == stands_on_averages


def test_torchvisions_resnets_have_one():
    from fastai.vision.all import create_body
    from torchvision.models import resnet18
    whole = resnet18(weights=None).eval()
    assert find_classifier(whole, create_body(whole, cut=-2)) is whole.fc
    assert find_classifier(resnet18(weights=None, num_classes=10).eval(), create_body(whole, cut=-2)) is None


def test_a_single_word_keeps_its_logit(lite0):
    features = seen(lite0, [skimage.data.chelsea(), skimage.data.coffee()])
    head = words_head(['tabby', 'espresso'])
    with torch.no_grad(): assert torch.allclose(head(features), lite0.forward_head(features)[:, [281, 967]], atol=1e-4)


def test_rows_are_means_and_spread_lifts_the_bias():
    classifier = nn.Linear(8, 1000)
    weight, bias = mean_rows(classifier, [[1, 3, 5], [7]])
    rows = classifier.weight[[1, 3, 5]]
    assert torch.allclose(weight[0], rows.mean(0))
    assert torch.allclose(bias[0] - classifier.bias[[1, 3, 5]].mean(), rows.var(0, unbiased=False).sum(), atol=1e-6)
    assert torch.equal(bias[1], classifier.bias[7])
    assert torch.allclose(mean_rows(classifier, [[7]], several=True)[1], classifier.bias[7] - np.log(1000))


def test_untrained_it_knows_the_photos_of_packages(lite0):
    china, flower = load_sample_images().images
    photos = [skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket(), china, flower]
    vocab = ['cat', 'cup', 'missile', 'palace', 'daisy']
    with torch.no_grad(): found = words_head(vocab)(seen(lite0, photos)).argmax(1)
    assert [vocab[i] for i in found] == vocab


def test_what_begins_without_words_is_told():
    told = []
    head = words_head(['Bombay', 'qwertz', 'beagle'], report=told.append)
    assert len(told) == 2 and 'Bombay' in told[0] and 'its kind' in told[0] and 'qwertz' in told[1]
    assert torch.equal(head[-1].weight[0], words_head(['cat'])[-1].weight[0])


# Learners

class Data:
    "Data loaders of made-up pictures"
    @staticmethod
    def loaders(vocab, folder, size=64):
        from fastai.vision.all import ImageDataLoaders
        rng = np.random.default_rng(42)
        files = []
        for name in vocab:
            for i in range(4):
                files.append(folder/f'{name}_{i}.jpg')
                Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype='uint8')).save(files[-1])
        return ImageDataLoaders.from_name_func(folder, files, valid_pct=0.5, seed=1, bs=4, num_workers=0,
                                               label_func=lambda name: name.rpartition('_')[0])


def test_a_learner_begins_with_words_and_can_begin_otherwise(tmp_path, monkeypatch):
    dls = Data.loaders(['beagle', 'pug'], tmp_path)
    classifier = imagenet_classifier()
    learn = words_learner(dls)
    assert torch.equal(learn.model[1][-1].weight.detach(), classifier.weight[[162, 254]])
    assert [type(cb) for cb in learn.cbs if isinstance(cb, Anchor)] == [Anchor]
    assert not any(p.requires_grad for name, p in learn.model[0].named_parameters() if 'bn' not in name)
    other = words_learner(dls, head='random')
    assert other.model[1][-1].weight.shape == (2, 1280) and not any(isinstance(cb, Anchor) for cb in other.cbs)
    theirs = vision_learner(dls, 'tf_efficientnet_lite0', pretrained=False)
    for kwargs in ({'head': 'fastai'}, {'pretrained': False}, {'concat_pool': True}):
        assert repr(words_learner(dls, **kwargs).model[1]) == repr(theirs.model[1])
    assert all(cb not in words_learner(dls, anchor=0).cbs for cb in learn.cbs if isinstance(cb, Anchor))


def test_a_body_without_classifier_says_so(tmp_path, monkeypatch):
    dls, told = Data.loaders(['beagle', 'pug'], tmp_path), []
    monkeypatch.setattr('fastbook_notes.models.heads.imagenet_classifier', lambda arch, body: None)
    learn = words_learner(dls, report=told.append)
    assert len(told) == 1 and 'random' in told[0] and len(learn.model[1]) > 3


def test_the_anchor_adds_its_gradient_and_leaves_the_loss():
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.optimizer import SGD
    torch.manual_seed(0)
    x, y = torch.randn(8, 3), torch.randint(0, 2, (8,))
    dls = DataLoaders(*(DataLoader(list(zip(x, y)), bs=8) for _ in range(2)))
    model, start, lr = nn.Linear(3, 2), torch.zeros(2, 3), 0.1
    weight = model.weight.detach().clone().requires_grad_(True)
    loss = nn.functional.cross_entropy(x @ weight.T + model.bias.detach(), y)
    (loss + 0.5*((weight - start)**2).sum()).backward()
    learn = Learner(dls, model, nn.CrossEntropyLoss(), opt_func=SGD, cbs=Anchor(start, 0.5), wd=0.)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, lr)
    assert torch.allclose(model.weight, weight - lr*weight.grad, atol=1e-6)
    assert abs(learn.recorder.log[1] - loss.item()) < 1e-5


# Between two heads

def test_wise_averages_are_on_the_line():
    a, b = plain_head(5, 3), plain_head(5, 3)
    x = torch.randn(4, 5, 2, 2)
    with torch.no_grad():
        for alpha in (0., 0.3, 1.):
            assert torch.allclose(wise_average(a, b, alpha)(x), (1 - alpha)*a(x) + alpha*b(x), atol=1e-6)
    assert torch.allclose(wise_average(a.state_dict(), b.state_dict(), 1)['2.weight'], b[-1].weight)
    with pytest.raises(NotesError, match='the same layers'): wise_average(a, plain_head(5, 4))


def test_the_curve_ends_at_both_heads():
    a, b, x, y = nn.Linear(5, 3), nn.Linear(5, 3), torch.randn(50, 5), torch.randint(0, 3, (50,))
    curve = wise_curve(a, b, {'one': (x, y), 'other': (-x, y)})
    assert curve.one[0.] == error_share(a(x), y) and curve.other[1.] == error_share(b(-x), y) and len(curve) == 11


# Calibration

@pytest.mark.parametrize('n, k', [(300, 3), (20, 10), (1, 2)])
def test_calibration_error_is_scikit_learns(n, k):
    rng = torch.Generator().manual_seed(n)
    p, y = torch.rand(n, k, generator=rng).softmax(1), torch.randint(0, k, (n,), generator=rng)
    top, answer = p.max(1)
    shares, means = calibration_curve((answer == y).numpy(), top.numpy(), n_bins=10)
    counts = np.histogram(top, np.linspace(0, 1, 11))[0]
    assert expected_calibration_error(p, y) == pytest.approx((abs(shares - means)*counts[counts > 0]).sum()/n, abs=1e-6)


def test_temperature_is_scipys():
    torch.manual_seed(3)
    x = torch.randn(2000, 4)*3
    y = torch.multinomial((x/2).softmax(1), 1)[:, 0]
    theirs = minimize_scalar(lambda t: nn.functional.cross_entropy(x/t, y).item(), bounds=(0.1, 10), method='bounded').x
    assert calibrate(x, y)[0] == pytest.approx(theirs, rel=0.02)


def test_labels_are_calibrated_one_by_one():
    torch.manual_seed(3)
    true = torch.randn(3000, 3)*2
    there = (torch.rand(3000, 3) < true.sigmoid()).float()
    scale, added = torch.tensor([0.5, 1., 3.]), torch.tensor([-1., 0., 2.])
    temperature, shift = calibrate(true*scale + added, there, several=True)
    head = nn.Linear(3, 3)
    with torch.no_grad():
        head.weight.copy_(torch.diag(scale))
        head.bias.copy_(added)
        shift_bias(head, shift)
        better = (head(true)/torch.tensor(temperature)).sigmoid()
    assert expected_calibration_error(better, there) < 0.02 < expected_calibration_error((true*scale + added).sigmoid(), there)
    with pytest.raises(NotesError, match="don't fit"): calibrate(true, there[:, 0], several=True)


def test_fastais_tensors_are_taken():
    from fastai.torch_core import TensorCategory, TensorImage, TensorMultiCategory
    x = torch.randn(50, 3)
    one, several = torch.randint(0, 3, (50,)), torch.randint(0, 2, (50, 3))
    assert calibrate(TensorImage(x), TensorCategory(one))[0] == calibrate(x, one)[0]
    assert calibrate(TensorImage(x), TensorMultiCategory(several), True)[0] == calibrate(x, several, True)[0]
    assert expected_calibration_error(TensorImage(x.sigmoid()), TensorMultiCategory(several)) > 0


def test_few_pictures_move_a_label_little():
    temperature, shift = calibrate(torch.tensor([[4.], [-4.]]), torch.tensor([[1.], [0.]]), several=True)
    assert 0.3 < temperature[0] < 3 and abs(shift).max() < 1


# Neither

def test_other_things_are_neither(lite0):
    china, flower = load_sample_images().images
    others = [skimage.data.coffee(), skimage.data.camera(), skimage.data.rocket(), skimage.data.astronaut(), china, flower]
    with torch.no_grad(): p = lite0.forward_head(seen(lite0, [skimage.data.chelsea(), *others])).softmax(1)
    found = neither(p, ['cat', 'dog'])
    assert found[0] is None and None not in found[1:]
    assert found[1] == 'espresso' and found[2] == 'tripod'


# Real photos

def photos(*parts):
    "A folder of the data sets that FASTBOOK_NOTES_PHOTOS names"
    return Path(os.environ['FASTBOOK_NOTES_PHOTOS']).joinpath(*parts)


def macro(activations, targets, k=1):
    "The share of pictures whose class is among the first k, averaged over the classes"
    hit = (activations.topk(k).indices == targets[:, None]).any(1).double()
    return np.mean([hit[targets == c].mean().item() for c in targets.unique()])


def head_of(learn):
    from fastbook_notes.models.features import split_at_head
    return split_at_head(learn.model)[1].eval()


def features_of(learn, files):
    "What the body makes of picture files, prepared as for validation"
    from fastbook_notes.models.features import split_at_head
    body = split_at_head(learn.model)[0].eval()
    with torch.no_grad(): return torch.cat([body(x) for x, in learn.dls.test_dl(files, num_workers=0)])


def trained(learn, epochs, lr):
    from fastbook_notes.models.features import fit_frozen
    with learn.no_bar(), learn.no_logging(): fit_frozen(learn, epochs, lr)
    return learn


needs_photos = pytest.mark.skipif(not os.environ.get('FASTBOOK_NOTES_PHOTOS'), reason='FASTBOOK_NOTES_PHOTOS names no folder')


@needs_photos
def test_cats_and_dogs_on_photos():
    from fastai.vision.all import error_rate

    from fastbook_notes.data.datasets import get_dataset
    from fastbook_notes.intro import cat_dataloaders, is_cat
    from fastbook_notes.models.heads import WORDS_TEMPERATURE
    files = sorted(photos('oxford-iiit-pet', 'images').glob('*.jpg'))
    dls = cat_dataloaders(get_dataset('PETS', 'sample')/'images', size=224, limit=None)
    learn = words_learner(dls, words=CATS, metrics=error_rate)
    x, y = features_of(learn, files), torch.tensor([int(is_cat(f)) for f in files])
    with torch.no_grad(): words = head_of(learn)(x)
    assert error_share(words, y) <= 0.02 and expected_calibration_error((words/WORDS_TEMPERATURE).softmax(1), y) <= 0.05
    head = head_of(trained(learn, 10, 2e-3))
    with torch.no_grad(): p, drawn = imagenet_classifier()(x).softmax(1), head(x)
    assert np.mean([word is not None for word in neither(p, ['cat', 'dog'])]) <= 0.02
    assert error_share(drawn, y) <= 0.02 and expected_calibration_error(drawn.softmax(1), y) <= 0.05
    assert learn.recorder.values[-1][-1] <= 0.026


@needs_photos
def test_breeds_on_photos():
    from fastbook_notes.data.datasets import get_dataset
    from fastbook_notes.models.heads import WORDS_TEMPERATURE
    from fastbook_notes.pet_breeds import breed_of, pet_dataloaders
    files = sorted(photos('oxford-iiit-pet', 'images').glob('*.jpg'))
    learn = words_learner(pet_dataloaders(get_dataset('PETS', 'sample'), size=224, presize=224))
    x, y = features_of(learn, files), torch.tensor([list(learn.dls.vocab).index(breed_of(f)) for f in files])
    with torch.no_grad(): words = head_of(learn)(x)
    head = head_of(trained(learn, 10, 2e-3))
    with torch.no_grad(): drawn = head(x)
    for activations, temperature in ((words, WORDS_TEMPERATURE), (drawn, 1)):
        assert macro(activations, y) >= 0.68 and macro(activations, y, 5) >= 0.9
        assert expected_calibration_error((activations/temperature).softmax(1), y) <= 0.07 # By chance alone 0.045 of 341 pictures


@needs_photos
def test_breeds_learned_from_photos():
    from fastai.vision.all import error_rate

    from fastbook_notes.pet_breeds import pet_dataloaders
    errors = []
    for seed in range(3):
        dls = pet_dataloaders(photos('oxford-iiit-pet'), size=224, presize=224, seed=seed)
        errors.append(trained(words_learner(dls, metrics=error_rate), 10, 2e-3).recorder.values[-1][-1])
    assert np.mean(errors) <= 0.2


@needs_photos
def test_scenes_on_photos():
    from fastbook_notes.multicat import mean_average_precision, multicat_dataloaders, multicat_learner
    dls = multicat_dataloaders(photos('pascal_2007'), size=224)
    learn = multicat_learner(dls)
    y = torch.stack([torch.as_tensor(target).float() for target in dls.valid_ds.tls[1]])
    x = features_of(learn, dls.valid_ds.items)
    with torch.no_grad(): words = head_of(learn)(x)
    head = head_of(trained(learn, 15, 6e-3))
    with torch.no_grad(): after = head(x)
    assert mean_average_precision(words, y) >= 0.72 and expected_calibration_error(words.sigmoid(), y) <= 0.05
    assert mean_average_precision(after, y) >= 0.8 and expected_calibration_error(after.sigmoid(), y) <= 0.05
    neither_there = y[:, [list(dls.vocab).index(name) for name in ('cat', 'dog')]].sum(1) == 0
    with torch.no_grad(): found = neither(imagenet_classifier()(x).softmax(1), ['cat', 'dog'])
    assert np.mean([word is not None for word, other in zip(found, neither_there) if other]) >= 0.9
