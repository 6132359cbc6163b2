"Pictures and a small learner that the tests of models share."
import numpy as np
import pytest
import torch
from PIL import Image

from fastbook_notes.models.model_folder import save_model
from fastbook_notes.quiet_imports import import_quietly

SMALL = 'test_efficientnet' # timm's smallest, of 99,196 weights
SIZES = ((128, 128), (61, 43), (17, 200), (333, 20), (9, 9), (640, 479))


def picture(width, height, seed=0):
    "Smooth colours, so that resizing matters"
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype='uint8')
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope='module')
def vision():
    return import_quietly('fastai.vision.all')


@pytest.fixture(scope='module')
def pets(tmp_path_factory):
    "Forty pictures that are named like those of the pets"
    folder = tmp_path_factory.mktemp('pets')
    for i in range(40): picture(40 + i, 60 - i//2, i).save(folder/f'{("Birman", "beagle", "Sphynx", "pug")[i % 4]}_{i}.png')
    return folder


@pytest.fixture(scope='module')
def small_learner(vision, pets):
    "A learner with few weights, not trained"
    from fastbook_notes.intro import cat_dataloaders
    from fastbook_notes.models.backbones import pretrained_learner
    vision.set_seed(1)
    learn = pretrained_learner(cat_dataloaders(pets, size=32, bs=8), SMALL, pretrained=False, lin_ftrs=[16], metrics=vision.error_rate)
    with torch.no_grad(): learn.model[1][-1].weight[0].add_(2)
    return learn


@pytest.fixture(scope='module')
def model(small_learner, tmp_path_factory):
    "The folder of a saved model"
    return save_model(small_learner, tmp_path_factory.mktemp('models')/'small', names=['dog', 'cat'], data='Forty pictures',
                      licence='CC0-1.0')


def cat_model(vision, pets, tmp):
    "Chapter 1's learner"
    from fastbook_notes.intro import cat_dataloaders, cat_learner
    return cat_learner(cat_dataloaders(pets, size=96, bs=8))
