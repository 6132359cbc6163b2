"A picture is the same tensor in training, in validation and in prediction, whatever kind of file it comes from."
import shutil

import numpy as np
import pytest
import torch

from fastbook_notes.data.pictures import open_picture
from fastbook_notes.errors import NotesError
from fastbook_notes.quiet_imports import import_quietly
from odd_pictures import encoded, exif, good_files, scene, turned_files

SIZE = 64


def all_files():
    "Each kind of picture, by a name that ends as it should"
    large = scene(2100, 2060)
    return good_files() | turned_files() | {'large.jpg': encoded(large, 'JPEG', exif=exif(6)),
                                            'large.png': encoded(large, 'PNG', compress_level=1)}


NAMES = sorted([*good_files(), *turned_files(), 'large.jpg', 'large.png'])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "All of them, named as cats (a capital) and dogs in turn"
    place = tmp_path_factory.mktemp('pictures')
    for i, (name, data) in enumerate(sorted(all_files().items())): (place/f'{"Xx"[i % 2]}_{name}').write_bytes(data)
    return place


def path_of(folder, name):
    return next(folder/f'{start}_{name}' for start in 'Xx' if (folder/f'{start}_{name}').exists())


@pytest.fixture(scope='module')
def dls(folder):
    from fastbook_notes.intro import cat_dataloaders
    return cat_dataloaders(folder, size=SIZE, bs=8, valid_pct=0.5)


@pytest.fixture(scope='module')
def seen(dls):
    "By file: the picture as the data set gives it, and the tensor that is made of it without augmentation"
    found = {}
    dls.valid.before_iter() # Tells its transforms that they are on validation
    for dataset in (dls.train_ds, dls.valid_ds):
        for i, file in enumerate(dataset.items): found[file.name[2:]] = dataset[i][0], dls.valid.after_item(dataset[i])[0]
    return found


@pytest.fixture(scope='module')
def predictor(dls, tmp_path_factory):
    "A model that was saved and loaded again"
    from fastbook_notes.models.backbones import pretrained_learner
    from fastbook_notes.models.model_folder import load_model, save_model
    learn = pretrained_learner(dls, 'mobilenetv3_small_050', pretrained=False, lin_ftrs=[16])
    return load_model(save_model(learn, tmp_path_factory.mktemp('models')/'small'))


@pytest.mark.slow
def test_no_kind_of_picture_is_left_out(seen):
    assert sorted(seen) == NAMES


@pytest.mark.parametrize('name', NAMES)
def test_training_sees_what_is_opened(folder, seen, name):
    "Pixel for pixel, and resized by fastai alone"
    vision = import_quietly('fastai.vision.all')
    opened = open_picture(path_of(folder, name))
    picture, tensor = seen[name]
    assert np.array_equal(np.asarray(picture), np.asarray(opened))
    resized = vision.Resize(SIZE)(vision.PILImage(opened), split_idx=1)
    assert torch.equal(torch.as_tensor(tensor), torch.from_numpy(np.array(resized)).permute(2, 0, 1))


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_prediction_sees_what_training_saw(folder, seen, predictor, name):
    assert torch.equal(torch.as_tensor(predictor.prepare(path_of(folder, name))), torch.as_tensor(seen[name][1]))


def test_every_data_loader_sees_the_same(folder, seen, tmp_path):
    "Of breeds, of tables, and of chapter 2"
    import pandas as pd

    from fastbook_notes.multicat import multicat_datablock
    from fastbook_notes.pet_breeds import pet_dataloaders
    from fastbook_notes.production import augmented
    vision = import_quietly('fastai.vision.all')
    names = ['cmyk.jpg', 'sixteen.png', 'rgba.png', 'JPEG_6.jpeg', 'rgb.heic', 'palette_alpha.png']
    files = [path_of(folder, name) for name in names]
    for i, file in enumerate(files): shutil.copy(file, tmp_path/f'{["Birman", "pug"][i % 2]}_{i}{file.suffix}')
    breeds = pet_dataloaders(tmp_path, size=32, presize=48, valid_pct=0.4)
    for dataset in (breeds.train_ds, breeds.valid_ds):
        for i, file in enumerate(dataset.items): assert np.array_equal(np.asarray(dataset[i][0]), np.asarray(open_picture(file)))
    table = pd.DataFrame({'fname': [file.name for file in files], 'labels': 'a', 'is_valid': [i % 2 == 0 for i in range(len(files))]})
    rows = multicat_datablock(folder, ['a'], vision.Resize(SIZE)).datasets(table)
    for dataset, part in ((rows.train, names[1::2]), (rows.valid, names[::2])):
        for i, name in enumerate(part): assert np.array_equal(np.asarray(dataset[i][0]), np.asarray(seen[name][0]))
    for name, file in zip(names, files):
        _, validation = augmented(file, vision.Resize(SIZE), n=2)
        assert torch.equal((validation[0]*255).round().byte(), torch.as_tensor(seen[name][1]))

    for source in (files[0], str(files[0]), files[0].read_bytes(), open_picture(files[0]), vision.PILImage.create(files[1]), table.iloc[0]):
        assert vision.test_set(rows, [source])[0][0].size # Whatever form a picture comes in


@pytest.mark.parametrize('options, reason', [(dict(valid_pct=0.001), 'A share of 0.001'), (dict(valid_pct=-0.2), 'A share of -0.2'),
                                             (dict(valid_pct=1), 'A share of 1'),
                                             (dict(limit=0), 'A limit of 0'), (dict(limit=-5), 'A limit of -5'),
                                             (dict(limit=8), 'among the 8 pictures that were taken')])
def test_cats_and_dogs_that_leave_nothing_are_refused(folder, options, reason):
    from fastbook_notes.intro import cat_dataloaders
    with pytest.raises(NotesError, match=reason): cat_dataloaders(folder, **options)


@pytest.mark.parametrize('options, reason', [(dict(valid_pct=-0.2), 'a share of -0.2'), (dict(valid_pct=0.01), 'too few'),
                                             (dict(limit=0), 'A limit of 0'),
                                             (dict(limit=-5), 'A limit of -5'), (dict(limit=1), 'too few'), ({}, 'show the breed pug')])
def test_breeds_that_leave_nothing_are_refused(tmp_path, options, reason):
    from fastbook_notes.pet_breeds import pet_dataloaders
    for i in range(10): (tmp_path/f'{"pug" if i or not options else "Birman"}_{i}.png').write_bytes(good_files()['rgb.png'])
    with pytest.raises(NotesError, match=reason): pet_dataloaders(tmp_path, **options)
