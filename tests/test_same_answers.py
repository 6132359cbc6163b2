"One road from a picture to an answer: whoever is asked about a picture says what `train` made."
import csv
import itertools
import time

import numpy as np
import pytest
from PIL import Image

from fastbook_notes.errors import NotesError

COLOURS = list(itertools.product((40, 110, 180, 250), repeat=3))


def fill(folder, classes, each, size=(60, 48)):
    "Pictures of noisy colours, named as those of the pets"
    rng = np.random.default_rng(0)
    (folder/'images').mkdir(parents=True)
    for i in range(classes):
        for n in range(each):
            pixels = rng.normal(COLOURS[i%len(COLOURS)], 25, (*size[::-1], 3)).clip(0, 255).astype('uint8')
            Image.fromarray(pixels).save(folder/'images'/f'{"Breed" if i%2 else "breed"}_{i}_{n}.png')
    return folder


@pytest.fixture(scope='module')
def pets(tmp_path_factory): return fill(tmp_path_factory.mktemp('pets')/'pets', 4, 10)


@pytest.fixture(scope='module')
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FASTBOOK_NOTES_CACHE', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='module')
def trained(pets, own_cache, tmp_path_factory):
    "What `fastbook-notes train 5` leaves"
    from fastbook_notes.train import train_chapter
    out = tmp_path_factory.mktemp('trained')/'breeds'
    train_chapter(5, pets, out=out, report=str)
    return out


def test_app_train_predict_and_chapter_say_the_same(pets, trained, tmp_path):
    "For the same pictures, to 1e-5; the app's model is one that was trained anew"
    from fastbook_notes.apps.picture_app import find_guide
    from fastbook_notes.apps.serving import find_app, prepare_app
    from fastbook_notes.data.pictures import open_picture
    from fastbook_notes.models.exports import learner_from
    from fastbook_notes.models.predict_folder import predict_folder
    from fastbook_notes.pet_breeds import pet_dataloaders, top_breeds
    from fastbook_notes.train import RECIPES
    shown = prepare_app(find_app('breeds'), str(pets), str)
    assert shown != trained
    guide = find_guide(5, pets, shown)
    learn = learner_from(trained, pet_dataloaders(pets, size=RECIPES[5].size, presize=RECIPES[5].size))
    predict_folder(trained, pets, tmp_path/'out.csv', report=str)
    with (tmp_path/'out.csv').open(newline='', encoding='utf-8') as file: rows = list(csv.DictReader(file))
    assert len(rows) == 40
    for row in rows[::9]:
        file = pets/row['file']
        name, share = guide.answer(open_picture(file))[0]['bars'][0]
        assert name == row['label'].replace('_', ' ') and share == pytest.approx(float(row['probability']), abs=1e-5)
        for source in (trained, shown, learn):
            breed, chance = top_breeds(source, file, 1)[0]
            assert breed == row['label'] and chance == pytest.approx(share, abs=1e-5)


def test_the_folder_says_what_the_model_is(pets, trained):
    import json

    from fastbook_notes.models.model_folder import load_model
    predictor = load_model(trained)
    described = predictor.description
    assert (described.data.name, described.data.trained, described.data.validated) == ('pets (own folder)', 32, 8)
    assert predictor.vocab == predictor.names == sorted({file.stem.rpartition('_')[0] for file in (pets/'images').iterdir()})
    assert 'It knows 4 breeds' in predictor.card and 'error_rate' in predictor.metrics
    validation = json.loads((trained/'validation.json').read_text(encoding='utf-8'))
    assert len(validation) == 8 and all((pets/name).is_file() for name in validation)


def test_the_apps_show_no_stale_model(pets, own_cache, tmp_path):
    "The same model while nothing changes; another when two pictures swap their names"
    import shutil

    from fastbook_notes.chapters import find_chapter
    from fastbook_notes.data.datasets import get_dataset
    from fastbook_notes.train import _model_place
    copy = tmp_path/'pets'
    shutil.copytree(pets, copy)
    place = lambda: _model_place(find_chapter('5'), get_dataset('PETS', copy))
    first = place()
    assert place() == first
    a, b = copy/'images'/'breed_0_0.png', copy/'images'/'Breed_1_0.png'
    a.rename(tmp_path/'aside'), b.rename(a), (tmp_path/'aside').rename(b)
    assert place() != first


def test_more_than_a_hundred_classes_are_trained_kept_and_asked(own_cache, tmp_path):
    from fastbook_notes.models.model_folder import load_model
    from fastbook_notes.pet_breeds import top_breeds
    from fastbook_notes.train import train_chapter
    folder = fill(tmp_path/'pets', 101, 2, (40, 36))
    told = []
    about = train_chapter(5, folder, epochs=1, size=32, out=tmp_path/'model', report=told.append)
    assert len(about['classes']) == 101 and any('101 classes' in line for line in told)
    predictor = load_model(tmp_path/'model')
    probabilities = predictor.probabilities(folder/'images'/'breed_0_0.png')
    assert probabilities.shape == (101,) and probabilities.sum().item() == pytest.approx(1, abs=1e-5)
    assert top_breeds(tmp_path/'model', folder/'images'/'breed_0_0.png', 1)[0] == predictor.top(probabilities, 1)[0]


def test_several_labels_bring_their_thresholds(own_cache, tmp_path):
    "The table in the folder is chapter 6's, for the model's own answers"
    import torch

    from fastbook_notes.models.model_folder import load_model
    from fastbook_notes.multicat import label_probabilities, read_table
    from fastbook_notes.train import train_chapter
    folder, rng = tmp_path/'scenes', np.random.default_rng(0)
    (folder/'train').mkdir(parents=True)
    lines = ['fname,labels,is_valid']
    for i in range(40):
        there = rng.random(3) > 0.5
        Image.fromarray((rng.random((40, 40, 3))*60 + there*150).astype('uint8')).save(folder/'train'/f'{i}.png')
        lines.append(f'{i}.png,{" ".join(np.array(["red", "green", "blue"])[there])},{i >= 25}')
    (folder/'train.csv').write_text('\n'.join(lines) + '\n')
    train_chapter(6, folder, epochs=3, size=32, out=tmp_path/'model', report=str)
    predictor = load_model(tmp_path/'model')
    assert predictor.several and len(predictor.thresholds) == 99
    table = read_table(folder)
    valid = table[table['is_valid'].astype(str) == 'True']
    given = torch.tensor([[label in row.split() for label in predictor.vocab] for row in valid['labels']])
    found = predictor.probabilities([folder/'train'/name for name in valid['fname']])
    for threshold, precision, recall in predictor.thresholds[9::20]:
        named = found > threshold
        assert recall == pytest.approx((named & given).sum().item()/given.sum().item(), abs=0.03)
        if precision is not None: assert precision == pytest.approx((named & given).sum().item()/max(named.sum().item(), 1), abs=0.05)
    assert list(label_probabilities(tmp_path/'model', folder/'train'/'0.png').index) == ['blue', 'green', 'red']


@pytest.mark.parametrize('case', ['one training row', 'all labels blank'])
def test_too_little_is_refused_in_a_line(case, own_cache, tmp_path):
    from fastbook_notes.train import train_chapter
    folder = tmp_path/'scenes'
    (folder/'train').mkdir(parents=True)
    for i in range(4): Image.new('RGB', (40, 40), (60*i, 0, 0)).save(folder/'train'/f'{i}.png')
    label = '' if case == 'all labels blank' else 'cat'
    rows = [f'{i}.png,{label}{"" if i or not label else " dog"},{i > (0 if label else 1)}' for i in range(4)]
    (folder/'train.csv').write_text('fname,labels,is_valid\n' + '\n'.join(rows) + '\n')
    with pytest.raises(NotesError) as refused: train_chapter(6, folder, epochs=1, size=32, out=tmp_path/'model', report=str)
    assert '\n' not in str(refused.value)
    assert not (tmp_path/'model').exists()


@pytest.mark.parametrize('name', ['README.md', 'model.json', 'training.json', 'validation.json', 'model.onnx'])
def test_a_persons_own_files_are_not_written_over(pets, own_cache, tmp_path, name):
    from fastbook_notes.train import train_chapter
    (mine := tmp_path/'mine').mkdir()
    (mine/name).write_text('mine')
    with pytest.raises(NotesError, match=f'holds {name} already'): train_chapter(5, pets, epochs=1, size=32, out=mine, report=str)
    assert (mine/name).read_text() == 'mine' and list(mine.iterdir()) == [mine/name]


def test_one_training_at_a_time_writes_a_folder(pets, own_cache, tmp_path, monkeypatch, capfd):
    "The second waits, and then finds a model"
    import threading

    from fastbook_notes import train
    from fastbook_notes.models.model_folder import MODEL_FILE
    begun, go_on, refused = threading.Event(), threading.Event(), []

    def slow(chapter, settings, done, process, device, out, report):
        out.mkdir()
        begun.set()
        go_on.wait(60)
        (out/MODEL_FILE).touch()

    def second():
        try: train.train_chapter(5, pets, out=tmp_path/'model', report=str)
        except NotesError as e: refused.append(str(e))

    monkeypatch.setattr(train, '_train', slow)
    threads = [threading.Thread(target=train.train_chapter, args=(5, pets), kwargs=dict(out=tmp_path/'model', report=str)),
               threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    deadline = time.monotonic() + 60
    while 'is being made by another process' not in capfd.readouterr().out and time.monotonic() < deadline: time.sleep(0.05)
    assert refused == []
    go_on.set()
    for thread in threads: thread.join(60)
    assert refused == [f'There is a trained model in {tmp_path/"model"} already; choose another folder, or remove it.']
