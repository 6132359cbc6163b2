"A folder of pictures as folders are: odd files, odd names, a process that is killed."
import csv
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from fastbook_notes.errors import NotesError

CLASSES = ['blue', 'green', 'red']


@pytest.fixture(scope='module')
def predict():
    from fastbook_notes import train
    return train


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    "Models with random weights: for one label and for several"
    from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, MultiCategoryBlock, Resize, noop, resnet18, vision_learner
    from fastbook_notes.models.model_folder import save_model
    folder = tmp_path_factory.mktemp('models')
    (folder/'data').mkdir()
    files = [folder/'data'/f'{i}.png' for i in range(6)]
    for i, file in enumerate(files): noise(i).save(file)
    for name, block, label in (('one', CategoryBlock(vocab=CLASSES), lambda f: CLASSES[int(f.stem)%3]), ('several', MultiCategoryBlock(vocab=CLASSES), lambda f: [CLASSES[int(f.stem)%3]])):
        dls = DataBlock((ImageBlock, block), get_items=noop, get_y=label, splitter=lambda items: ([0, 1, 2], [3, 4, 5]), item_tfms=Resize(32)).dataloaders(files, bs=3, num_workers=0)
        save_model(vision_learner(dls, resnet18, pretrained=False), folder/name, threshold=0.4 if name == 'several' else None)
    return folder


def noise(seed, mode='RGB', size=(40, 30)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype='uint8')
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def pictures(tmp_path):
    "Pictures in folders, and things that look like pictures"
    folder = tmp_path/'pictures'
    (folder/'deep'/'er').mkdir(parents=True)
    (folder/'a folder.jpg').mkdir()
    for i, (name, mode) in enumerate([('grey.png', 'L'), ('palette.gif', 'P'), ('see-through.png', 'RGBA'), ('print.jpg', 'CMYK'), ('deep/bits.tif', '1'),
                                      ('deep/er/Zürich, 日本.PNG', 'RGB'), ('a folder.jpg/in it.webp', 'RGB'), ('plain.bmp', 'RGB')]): noise(i, mode).save(folder/name)
    noise(9).save(folder/'whole.jpg')
    data = (folder/'whole.jpg').read_bytes()
    (folder/'cut short.jpg').write_bytes(data[:len(data)//2])
    (folder/'empty.png').write_bytes(b'')
    (folder/'text.jpeg').write_text('no picture')
    (folder/'notes.txt').write_text('no picture, and it says so')
    return folder


def rows(file):
    with file.open(newline='', encoding='utf-8') as table: return list(csv.DictReader(table))


def test_odd_pictures_are_labelled_and_bad_ones_listed(predict, models, pictures, tmp_path):
    out, said = tmp_path/'out.csv', []
    found = predict.predict_folder(models/'one', pictures, out, bs=4, say=said.append)
    assert found == dict(labelled=9, before=0, unreadable=3)
    assert {row['file'] for row in rows(tmp_path/'out.unreadable.csv')} == {'cut short.jpg', 'empty.png', 'text.jpeg'}
    labelled = rows(out)
    assert [row['file'] for row in labelled] == ['grey.png', 'palette.gif', 'plain.bmp', 'print.jpg', 'see-through.png', 'whole.jpg', 'a folder.jpg/in it.webp',
                                                'deep/bits.tif', 'deep/er/Zürich, 日本.PNG']
    assert all(row['label'] in CLASSES and 1/3 <= float(row['probability']) <= 1 for row in labelled)
    assert 'unreadable.csv' in said[-1]


def test_several_labels_have_a_probability_each(predict, models, pictures, tmp_path):
    predict.predict_folder(models/'several', pictures, tmp_path/'out.csv', say=str)
    for row in rows(tmp_path/'out.csv'):
        probabilities = [float(p) for p in row['probabilities'].split()]
        assert len(row['labels'].split()) == len(probabilities)
        assert all(p > 0.4 for p in probabilities)


def test_a_picture_is_prepared_as_for_validation(predict, tmp_path):
    "The transforms of each chapter's data loaders, and those of what `train` keeps"
    import torch
    from fastbook_notes.models.model_folder import save_model
    for folder in ('images', 'train'): (tmp_path/folder).mkdir()
    for i in range(30): noise(i, size=(90, 60)).save(tmp_path/'images'/f'{"Birman" if i%2 else "beagle"}_{i}.png')
    for i in range(10): noise(i, size=(90, 60)).save(tmp_path/'train'/f'{i}.png')
    (tmp_path/'train.csv').write_text('fname,labels,is_valid\n' + ''.join(f'{i}.png,{"cat" if i%2 else "dog"},{i > 5}\n' for i in range(10)))
    for chapter, recipe in predict.RECIPES.items():
        learn, classes = recipe.learner(tmp_path, 'lite0', 32)
        labeller = predict.Labeller(save_model(learn, tmp_path/f'model{chapter}', names=list(map(str, classes))))
        item = learn.dls.valid_ds.items[0] if chapter != 6 else learn.dls.valid_ds.items.iloc[0]
        file = item if chapter != 6 else tmp_path/'train'/item['fname']
        with learn.no_bar(): theirs = learn.get_preds()[0][0]
        assert torch.allclose(labeller.probabilities(labeller.prepared(file)[None])[0], theirs, atol=1e-3)
        assert labeller.classes == list(map(str, classes))


def test_parquet_says_the_same(predict, models, pictures, tmp_path):
    parquet = pytest.importorskip('pyarrow.parquet')
    predict.predict_folder(models/'one', pictures, tmp_path/'out.csv', say=str)
    predict.predict_folder(models/'one', pictures, tmp_path/'out.parquet', say=str)
    table = parquet.read_table(tmp_path/'out.parquet').to_pylist()
    assert [(row['file'], row['label']) for row in table] == [(row['file'], row['label']) for row in rows(tmp_path/'out.csv')]
    assert not list(tmp_path.glob('*.unfinished.csv'))


def test_a_killed_run_goes_on(predict, models, tmp_path):
    "Killed while it reads the 30th of 40 pictures: what is on the disk stays, the rest is added, none is there twice"
    folder, out = tmp_path/'many', tmp_path/'out.csv'
    folder.mkdir()
    for i in range(40): noise(i).save(folder/f'{i:02}.png')
    code = f'''
import os, signal
from fastbook_notes import train
whole = train.Labeller.prepared
def prepared(self, file):
    if file.name == '29.png': os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))
    return whole(self, file)
train.Labeller.prepared = prepared
train.predict_folder({str(models/"one")!r}, {str(folder)!r}, {str(out)!r}, bs=4, say=str)
'''
    killed = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert killed.returncode not in (0, 1), killed.stderr
    before = out.read_bytes()
    with out.open('ab') as file: file.write('half a rö'.encode()[:-1])
    found = predict.predict_folder(models/'one', folder, out, bs=4, say=str)
    assert found['before'] == before.count(b'\n') - 1 > 0
    assert out.read_bytes().startswith(before)
    assert [row['file'] for row in rows(out)] == [f'{i:02}.png' for i in range(40)]
    assert predict.predict_folder(models/'one', folder, out, say=str) == dict(labelled=0, before=40, unreadable=0)


def test_a_new_picture_is_added_and_a_mended_one_too(predict, models, pictures, tmp_path):
    out = tmp_path/'out.csv'
    predict.predict_folder(models/'one', pictures, out, say=str)
    noise(20).save(pictures/'empty.png')
    noise(21).save(pictures/'another.png')
    assert predict.predict_folder(models/'one', pictures, out, say=str) == dict(labelled=2, before=9, unreadable=2)


def test_rows_of_two_models_are_kept_apart(predict, models, pictures, tmp_path):
    out = tmp_path/'out.csv'
    predict.predict_folder(models/'one', pictures, out, say=str)
    before = out.read_bytes()
    (tmp_path/'other.csv').write_text('name,price\ntea,3\n')
    with pytest.raises(NotesError, match='not made with this model'): predict.predict_folder(models/'several', pictures/'deep', out, say=str)
    with pytest.raises(NotesError, match='not made with this model'): predict.predict_folder(models/'one', pictures, tmp_path/'other.csv', say=str)
    assert out.read_bytes() == before
    assert (tmp_path/'other.csv').read_text() == 'name,price\ntea,3\n'


def test_no_more_is_read_ahead_than_was_allowed(predict):
    started, lock = [], threading.Lock()
    def work(n):
        with lock: started.append(n)
        return n
    results = predict.read_ahead(range(1000), work, workers=2, ahead=5)
    assert next(results) == (0, 0)
    time.sleep(0.05)
    assert len(started) <= 7
    assert [item for item, _ in results] == list(range(1, 1000))


def test_a_place_that_can_not_be_written_to(predict, models, pictures, tmp_path):
    (tmp_path/'taken').write_text('a file, where a folder is meant to be')
    with pytest.raises(NotesError, match="can't be written"): predict.predict_folder(models/'one', pictures, tmp_path/'taken'/'out.csv', say=str)
