"A folder of pictures as folders are: odd files, odd names, a process that is killed."
import csv
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from fastbook_notes.errors import NotesError

CLASSES = ['blue', 'green', 'red']


@pytest.fixture(scope='module', autouse=True)
def own_cache(tmp_path_factory):
    "For the graphs that predictions leave"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FASTBOOK_NOTES_CACHE', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='module')
def predict():
    from fastbook_notes.models import predict_folder
    return predict_folder


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    "Models with random weights: for one label and for several"
    from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, MultiCategoryBlock, Resize, noop, resnet18, vision_learner

    from fastbook_notes.models.model_folder import save_model
    folder = tmp_path_factory.mktemp('models')
    (folder/'data').mkdir()
    files = [folder/'data'/f'{i}.png' for i in range(6)]
    for i, file in enumerate(files): noise(i).save(file)
    for name, block, label in (('one', CategoryBlock(vocab=CLASSES), lambda f: CLASSES[int(f.stem)%3]),
                               ('several', MultiCategoryBlock(vocab=CLASSES), lambda f: [CLASSES[int(f.stem)%3]])):
        dls = DataBlock((ImageBlock, block), get_items=noop, get_y=label, splitter=lambda items: ([0, 1, 2], [3, 4, 5]),
                        item_tfms=Resize(32)).dataloaders(files, bs=3, num_workers=0)
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
    for i, (name, mode) in enumerate([('grey.png', 'L'), ('palette.gif', 'P'), ('see-through.png', 'RGBA'),
                                      ('print.jpg', 'CMYK'), ('deep/bits.tif', '1'),
                                      ('deep/er/Zürich, 日本.PNG', 'RGB'), ('a folder.jpg/in it.webp', 'RGB'), ('plain.bmp', 'RGB')]):
                                          noise(i, mode).save(folder/name)
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
    found = predict.predict_folder(models/'one', pictures, out, bs=4, report=said.append)
    assert found == dict(labelled=9, before=0, unreadable=3, gone=0, passed=1)
    assert {row['file'] for row in rows(tmp_path/'out.unreadable.csv')} == {'cut short.jpg', 'empty.png', 'text.jpeg'}
    labelled = rows(out)
    assert [row['file'] for row in labelled] == ['grey.png', 'palette.gif', 'plain.bmp', 'print.jpg', 'see-through.png',
                                                 'whole.jpg', 'a folder.jpg/in it.webp',
                                                'deep/bits.tif', 'deep/er/Zürich, 日本.PNG']
    assert all(row['label'] in CLASSES and 1/3 <= float(row['probability']) <= 1 for row in labelled)
    assert 'unreadable.csv' in said[-1] and '1 .txt' in said[-1]


def test_several_labels_have_a_probability_each(predict, models, pictures, tmp_path):
    predict.predict_folder(models/'several', pictures, tmp_path/'out.csv', report=str)
    for row in rows(tmp_path/'out.csv'):
        probabilities = [float(p) for p in row['probabilities'].split()]
        assert len(row['labels'].split()) == len(probabilities)
        assert all(p > 0.4 for p in probabilities)


def test_a_picture_is_prepared_as_for_validation(predict, tmp_path):
    "The transforms of each chapter's data loaders, and those of what `train` keeps"
    import torch

    from fastbook_notes.models.model_folder import load_model, save_model
    from fastbook_notes.train import RECIPES
    for folder in ('images', 'train'): (tmp_path/folder).mkdir()
    for i in range(30): noise(i, size=(90, 60)).save(tmp_path/'images'/f'{"Birman" if i%2 else "beagle"}_{i}.png')
    for i in range(10): noise(i, size=(90, 60)).save(tmp_path/'train'/f'{i}.png')
    (tmp_path/'train.csv').write_text('fname,labels,is_valid\n'
                                      + ''.join(f'{i}.png,{"cat" if i%2 else "dog"},{i > 5}\n' for i in range(10)))
    for chapter, recipe in RECIPES.items():
        learn = recipe.learner(tmp_path, 'lite0', 32)
        predictor = load_model(save_model(learn, tmp_path/f'model{chapter}', names=recipe.names))
        item = learn.dls.valid_ds.items[0] if chapter != 6 else learn.dls.valid_ds.items.iloc[0]
        file = item if chapter != 6 else tmp_path/'train'/item['fname']
        with learn.no_bar(): theirs = learn.get_preds()[0][0]
        assert torch.allclose(predictor.probabilities(file), theirs, atol=1e-3)
        assert predictor.names == list(map(str, recipe.names or learn.dls.vocab))


def test_parquet_says_the_same(predict, models, pictures, tmp_path):
    parquet = pytest.importorskip('pyarrow.parquet')
    predict.predict_folder(models/'one', pictures, tmp_path/'out.csv', report=str)
    predict.predict_folder(models/'one', pictures, tmp_path/'out.parquet', report=str)
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
from fastbook_notes.models.predict_folder import predict_folder
from fastbook_notes.models.description import Description
whole = Description.prepare
def prepare(self, file):
    if file.name == '29.png': os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))
    return whole(self, file)
Description.prepare = prepare
predict_folder({str(models/"one")!r}, {str(folder)!r}, {str(out)!r}, bs=4, report=str)
'''
    killed = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert killed.returncode not in (0, 1), killed.stderr
    before = out.read_bytes()
    with out.open('ab') as file: file.write('half a rö'.encode()[:-1])
    found = predict.predict_folder(models/'one', folder, out, bs=4, report=str)
    assert found['before'] == before.count(b'\n') - 1 > 0
    assert out.read_bytes().startswith(before)
    assert [row['file'] for row in rows(out)] == [f'{i:02}.png' for i in range(40)]
    assert predict.predict_folder(models/'one', folder, out, report=str) == dict(labelled=0, before=40, unreadable=0, gone=0, passed=0)


def test_a_new_picture_is_added_and_a_mended_one_too(predict, models, pictures, tmp_path):
    out = tmp_path/'out.csv'
    predict.predict_folder(models/'one', pictures, out, report=str)
    noise(20).save(pictures/'empty.png')
    noise(21).save(pictures/'another.png')
    assert predict.predict_folder(models/'one', pictures, out, report=str) == dict(labelled=2, before=9, unreadable=2, gone=0, passed=1)


def test_rows_of_two_models_are_kept_apart(predict, models, pictures, tmp_path):
    out = tmp_path/'out.csv'
    predict.predict_folder(models/'one', pictures, out, report=str)
    before = out.read_bytes()
    (tmp_path/'other.csv').write_text('name,price\ntea,3\n')
    with pytest.raises(NotesError, match='not made with this model'):
        predict.predict_folder(models/'several', pictures/'deep', out, report=str)
    with pytest.raises(NotesError, match='not made with this model'):
        predict.predict_folder(models/'one', pictures, tmp_path/'other.csv', report=str)
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
    with pytest.raises(NotesError, match="can't be written"):
        predict.predict_folder(models/'one', pictures, tmp_path/'taken'/'out.csv', report=str)
    (tmp_path/'folder.csv').mkdir()
    with pytest.raises(NotesError, match='folder.csv is a folder'):
        predict.predict_folder(models/'one', pictures, tmp_path/'folder.csv', report=str)


@pytest.mark.parametrize('name, theirs', [('out.unreadable.csv', 'file,price\ntea,3\n'), ('out.source.json', '{"my": "notes"}'),
                                          ('out.source.json', 'no JSON')])
def test_a_strangers_files_beside_the_table_stay(predict, models, pictures, tmp_path, name, theirs):
    (tmp_path/name).write_text(theirs)
    with pytest.raises(NotesError, match='would be written over'):
        predict.predict_folder(models/'one', pictures, tmp_path/'out.csv', report=str)
    assert (tmp_path/name).read_text() == theirs and not (tmp_path/'out.csv').exists()


def test_tables_of_one_name_and_two_kinds_are_told_apart(predict, models, pictures, tmp_path):
    "Each has its own notes, so neither takes over what the other has found"
    from PIL import Image
    (tmp_path/'other').mkdir()
    Image.new('RGB', (40, 30), 'red').save(tmp_path/'other'/'a.png')
    csv_table, parquet = tmp_path/'out.csv', tmp_path/'out.parquet'
    predict.predict_folder(models/'one', pictures, csv_table, report=str)
    predict.predict_folder(models/'one', tmp_path/'other', parquet, report=str)
    assert (tmp_path/'out.unreadable.csv').exists() and not (tmp_path/'out.parquet.unreadable.csv').exists()
    with pytest.raises(NotesError, match='was not made with this model from this folder'):
        predict.predict_folder(models/'one', tmp_path/'other', csv_table, report=str)
    assert predict.predict_folder(models/'one', pictures, csv_table, report=str)['labelled'] == 0


def test_an_address_is_no_folder(predict, models, tmp_path):
    with pytest.raises(NotesError, match='not fetched'):
        predict.predict_folder(models/'one', 'https://example.org/a.png', tmp_path/'out.csv', report=str)


ODD_NAMES = ['line\nbreak.png', 'return\rhere.png', 'both\r\n.png', 'comma, "quotes".png', 'caf\udce9_1.png',
             'back\\slash.png', 'Zürich, 日本.png',
             'at 3.04\u202fPM.png', 'NA.png', '=1+2.png', "tab\t'.png"]


@pytest.mark.skipif(os.name == 'nt', reason='Windows allows no such names')
def test_odd_names_have_a_row_each(predict, models, tmp_path):
    "As CSV and as Parquet, read by the standard library, pandas and pyarrow; and a second run finds all of them"
    import pandas as pd
    parquet = pytest.importorskip('pyarrow.parquet')
    folder = tmp_path/'odd'
    folder.mkdir()
    noise(0).save(tmp_path/'one.png')
    for name in ODD_NAMES: os.link(tmp_path/'one.png', folder/name)
    for out in (tmp_path/'out.csv', tmp_path/'out.parquet'):
        assert predict.predict_folder(models/'one', folder, out, bs=3, report=str)['labelled'] == len(ODD_NAMES)
    assert predict.predict_folder(models/'one', folder, tmp_path/'out.csv', report=str) == dict(labelled=0,
        before=len(ODD_NAMES), unreadable=0, gone=0, passed=0)
    written = {predict.name_in_table(name) for name in ODD_NAMES}
    assert len(written) == len(ODD_NAMES) == len((tmp_path/'out.csv').read_bytes().splitlines()) - 1
    assert {row['file'] for row in rows(tmp_path/'out.csv')} == written
    assert set(pd.read_csv(tmp_path/'out.csv', keep_default_na=False)['file']) == written
    assert set(parquet.read_table(tmp_path/'out.parquet')['file'].to_pylist()) == written


def test_pictures_that_are_gone_are_named(predict, models, pictures, tmp_path):
    out, said = tmp_path/'out.csv', []
    predict.predict_folder(models/'one', pictures, out, report=str)
    (pictures/'grey.png').unlink()
    (pictures/'print.jpg').unlink()
    found = predict.predict_folder(models/'one', pictures, out, report=said.append)
    assert found == dict(labelled=0, before=7, unreadable=3, gone=2, passed=1)
    assert 'grey.png' in said[0] and 'print.jpg' in said[0] and '-' not in said[0].partition(' pictures')[0]


def test_a_single_picture_and_capital_endings(predict, models, pictures, tmp_path):
    for out in ('one.CSV', 'one.csv'):
        assert predict.predict_folder(models/'one', pictures/'grey.png', tmp_path/out, report=str)['labelled'] == 1
        assert [row['file'] for row in rows(tmp_path/out)] == ['grey.png']
    pytest.importorskip('pyarrow')
    assert predict.predict_folder(models/'one', pictures/'grey.png', tmp_path/'one.Parquet', report=str)['labelled'] == 1
    with pytest.raises(NotesError, match='no folder or picture'):
        predict.predict_folder(models/'one', pictures/'gone.png', tmp_path/'x.csv')


def test_two_at_once_write_each_row_once(models, tmp_path):
    "The second waits for the first, and finds nothing left to do"
    folder, out = tmp_path/'many', tmp_path/'out.csv'
    folder.mkdir()
    for i in range(30): noise(i).save(folder/f'{i:02}.png')
    call = f'predict_folder({str(models/"one")!r}, {str(folder)!r}, {str(out)!r}, bs=1)'
    code = f'from fastbook_notes.models.predict_folder import predict_folder; print({call})'
    both = [subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             cwd=tmp_path) for _ in range(2)]
    ends = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert sorted(row['file'] for row in rows(out)) == sorted(file.name for file in folder.iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ['many', 'out.csv', 'out.source.json']
