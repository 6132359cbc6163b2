"A second prediction of a model needs no PyTorch: a graph answers as `Predictor` does, or not at all."
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from conftest import ROOT
from fastbook_notes.models import exports, graphs, predict_folder
from fastbook_notes.models.description import MODEL_FILE
from fastbook_notes.models.graphs import GraphPredictor, kept_model, model_digest
from fastbook_notes.models.model_folder import load_model, save_model
from fastbook_notes.models.predict_folder import FEW_PICTURES
from fastbook_notes.models.untrained import WORDS_MODELS, words_model
from odd_pictures import encoded, exif, good_files, scene, sixteen
from small_models import SMALL, cat_model, model, pets, picture, small_learner, vision  # noqa: F401

HEAVY = {'torch', 'timm', 'torchvision', 'fastai', 'onnx', 'pandas'}
ODD = {'grey.png': encoded(scene().convert('L'), 'PNG'), 'rgba.png': good_files()['rgba.png'],
       'turned.jpg': encoded(scene(), 'JPEG', exif=exif(6)),
       'sixteen.png': encoded(sixteen(scene()), 'PNG'), 'cmyk.jpg': good_files()['cmyk.jpg'], 'tiny.png': encoded(scene(1, 1), 'PNG'),
       'thin.png': encoded(scene(2, 90), 'PNG'), 'large.jpg': encoded(scene(1500, 1100), 'JPEG')}


@pytest.fixture(scope='module', autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FASTBOOK_NOTES_CACHE', str(folder := tmp_path_factory.mktemp('cache')))
        yield folder


@pytest.fixture
def kept(own_cache):
    "The graphs that are kept; none at the beginning"
    shutil.rmtree(own_cache/'graphs', ignore_errors=True)
    return lambda: sorted((own_cache/'graphs').glob('*'))


@pytest.fixture(scope='module')
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp('odd')
    for name, data in (ODD | {'broken.jpg': b'no picture'}).items(): (folder/name).write_bytes(data)
    return folder


@pytest.fixture(scope='module')
def several(vision, pets, tmp_path_factory): # noqa: F811
    "For several labels with spaces in their names, one channel, a temperature for each, and pictures that are padded"
    from fastai.vision.core import PILImageBW
    block = vision.DataBlock((vision.ImageBlock(PILImageBW), vision.MultiCategoryBlock), get_items=vision.get_image_files,
                             get_y=lambda file: [file.stem.split('_')[0], 'a pet'], splitter=vision.RandomSplitter(seed=1),
                             item_tfms=vision.Resize((40, 56), 'pad', 'reflection'))
    learn = vision.vision_learner(block.dataloaders(pets, bs=8, num_workers=0), vision.resnet18, pretrained=False, n_in=1, normalize=False)
    return save_model(learn, tmp_path_factory.mktemp('several')/'model', threshold=0.45, temperature=[0.5, 1., 2., 3., 1.5],
                      thresholds=[[0.4, 0.5, None], [0.45, 0.6, 0.7]])


@pytest.fixture(scope='module')
def trained(vision, pets, tmp_path_factory): # noqa: F811
    "With fastai's own head, and a batch that is resampled to the size that it has"
    from fastbook_notes.intro import cat_dataloaders
    from fastbook_notes.models.backbones import pretrained_learner
    vision.set_seed(3)
    dls = cat_dataloaders(pets, size=48, bs=8)
    dls.add_tfms(vision.aug_transforms(size=48), 'after_batch')
    learn = pretrained_learner(dls, SMALL, pretrained=False, metrics=vision.error_rate)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 1e-3)
    return save_model(learn, tmp_path_factory.mktemp('trained')/'model', names=['dog', 'cat'], temperature=1.7)


@pytest.fixture(scope='module')
def asked(own_cache, odd, trained, several, tmp_path_factory):
    "By name: the folder of a model that has labelled the odd pictures once, the graph that this left, its table, and what was said"
    folders, found = {name: words_model(name) for name in WORDS_MODELS} | dict(trained=trained, several=several), {}
    for name, folder in folders.items():
        table, said = tmp_path_factory.mktemp(name)/'table.csv', []
        assert kept_model(model_digest(folder)) is None
        numbers = predict_folder.predict_folder(folder, odd, table, report=said.append)
        file, = (own_cache/'graphs').glob(f'{graphs._made_from(model_digest(folder))}-*')
        found[name] = folder, file.read_bytes(), table, (numbers, said)
    return found


NAMES = [*WORDS_MODELS, 'trained', 'several']


@pytest.fixture
def only(kept, asked):
    "Empties the cache but for the graph of one model, and gives its folder and the graph's file"
    def put(name, change=lambda data: data):
        folder, graph, *_ = asked[name]
        graphs.keep_model_graph(model_digest(folder), graph)
        file, = kept()
        file.write_bytes(change(graph))
        return folder, file
    return put


@pytest.fixture
def no_torch(monkeypatch):
    "PyTorch's road is closed"
    monkeypatch.setattr('fastbook_notes.models.model_folder.load_model', lambda *_: pytest.fail('the model was loaded'))


def rows(table):
    with table.open(newline='', encoding='utf-8') as file: return list(csv.reader(file))


def same_rows(one, other):
    "Whether two tables say the same, but for probabilities that were rounded to another sixth digit"
    for a, b in zip(rows(one), rows(other), strict=True):
        assert a[:2] == b[:2] and a[2].count(' ') == b[2].count(' ')
        if a[0] != 'file': assert np.allclose([float(p) for p in a[2].split()], [float(p) for p in b[2].split()], rtol=0, atol=2e-6)
    return True


@pytest.mark.parametrize('name', NAMES)
def test_a_graph_answers_as_predictor_does(name, asked, odd):
    "The same pixels, description, and labels; probabilities to 1e-4"
    folder, graph, *_ = asked[name]
    kept, predictor, files = GraphPredictor(graph), load_model(folder), [odd/name for name in ODD]
    pixels = np.stack([kept.description.prepare(file) for file in files])
    assert np.array_equal(pixels, torch.stack([predictor.prepare(file) for file in files]))
    ours, theirs = torch.from_numpy(kept.answer(pixels)), predictor.probabilities(files)
    assert ours.shape == theirs.shape == (len(ODD), len(predictor.vocab))
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-4) and not torch.allclose(theirs[0], theirs[-1], rtol=0, atol=1e-4)
    assert [predictor.labels_of(row) for row in ours] == predictor.predict(files).label
    assert kept.description == predictor.description and kept.description.thresholds == predictor.thresholds


@pytest.mark.parametrize('name', NAMES)
def test_both_roads_write_and_say_the_same(name, asked, odd, only, no_torch, tmp_path):
    "Table, list of what can't be read, note, report and numbers"
    folder, _ = only(name)
    _, _, table, (numbers, first) = asked[name]
    said, out = [], tmp_path/'table.csv'
    assert predict_folder.predict_folder(folder, odd, out, bs=3, report=said.append) == numbers and numbers['unreadable'] == 1
    assert same_rows(out, table)
    assert [line.replace(str(out.parent), '') for line in said] == [line.replace(str(table.parent), '') for line in first]
    for ending in ('.unreadable.csv', '.source.json'):
        assert out.with_suffix(ending).read_bytes() == table.with_suffix(ending).read_bytes()


def flipped(data):
    "One bit of the weights is another"
    at = len(data)//2
    return data[:at] + bytes([data[at] ^ 64]) + data[at + 1:]


def another_description(data):
    "A graph as good as before, which calls its classes something else"
    graph = onnx.load_from_string(data)
    onnx.helper.set_model_props(graph, {'description': graph.metadata_props[0].value.replace('"cat"', '"cow"')})
    return graph.SerializeToString()


DAMAGE = dict(empty=lambda data: b'', cut=lambda data: data[:-1], half=lambda data: data[:len(data)//2], flipped=flipped,
              described=another_description, noise=lambda data: b'\x08' + data[1:][::-1])


@pytest.mark.parametrize('how', DAMAGE)
def test_a_damaged_graph_is_not_asked_and_made_anew(how, only, kept, odd, asked, tmp_path, capfd):
    folder, file = only('trained', DAMAGE[how])
    assert kept_model(model_digest(folder)) is None
    predict_folder.predict_folder(folder, odd, tmp_path/'table.csv', report=str)
    assert same_rows(tmp_path/'table.csv', asked['trained'][2]) and 'Traceback' not in capfd.readouterr().err
    assert kept_model(model_digest(folder)) and file in kept()


def test_a_graph_without_a_fitting_description_is_refused(asked):
    "Also if its name is right; whoever can write to the cache can put anything there, but no mistake leads to a traceback"
    folder, graph, *_ = asked['trained']
    for text in ('', 'no JSON', '{}', json.dumps({'format': 2})):
        odd_one = onnx.load_from_string(graph)
        onnx.helper.set_model_props(odd_one, {'description': text})
        graphs.keep_model_graph(digest := hashlib.sha256(text.encode()).hexdigest()[:32], odd_one.SerializeToString())
        assert kept_model(digest) is None


def test_what_lies_under_the_name_of_a_graph(only, kept, odd, tmp_path):
    "A folder, a link to nowhere, something without end"
    for make in (lambda file: file.mkdir(), lambda file: file.symlink_to('nowhere'), lambda file: file.symlink_to('/dev/zero')):
        folder, file = only('trained')
        file.unlink()
        make(file)
        assert kept_model(model_digest(folder)) is None
        predict_folder.predict_folder(folder, odd, tmp_path/f'{len(list(tmp_path.iterdir()))}.csv', report=str)
        if file.is_dir() and not file.is_symlink(): file.rmdir()


def test_a_graph_in_the_models_own_folder_is_not_asked(asked, kept, odd, tmp_path):
    copy = shutil.copytree(asked['trained'][0], tmp_path/'model')
    (copy/'model.onnx').write_bytes(asked['breeds'][1])
    assert kept_model(model_digest(copy)) is None
    predict_folder.predict_folder(copy, odd, tmp_path/'table.csv', report=str)
    assert same_rows(tmp_path/'table.csv', asked['trained'][2])


def test_another_model_has_another_graph(only, asked, odd, tmp_path):
    "Also in the same folder, and with the card alone changed"
    from fastbook_notes.models.model_folder import set_card
    folder, _ = only('trained')
    copy = shutil.copytree(folder, tmp_path/'model')
    assert kept_model(model_digest(copy))
    set_card(copy, 'Another card')
    assert kept_model(model_digest(copy)) is None
    shutil.copy(asked['several'][0]/MODEL_FILE, copy/MODEL_FILE)
    assert kept_model(model_digest(copy)) is None


def test_other_versions_make_another_graph(only, monkeypatch):
    folder, _ = only('trained')
    whole = graphs.version
    for library in graphs._MADE_BY:
        monkeypatch.setattr(graphs, 'version', lambda name, other=library: '0' if name == other else whole(name))
        assert kept_model(model_digest(folder)) is None
    monkeypatch.setattr(graphs, 'version', whole)
    monkeypatch.setattr(graphs, '_FORM', 0)
    assert kept_model(model_digest(folder)) is None


def test_a_model_that_is_replaced_while_it_is_loaded_leaves_no_graph(asked, kept, odd, monkeypatch, tmp_path):
    "The graph of what was loaded would answer for what is there now"
    copy = shutil.copytree(asked['trained'][0], tmp_path/'model')
    whole = predict_folder._predict
    def replaced(*given):
        shutil.copy(asked['several'][0]/MODEL_FILE, copy/MODEL_FILE)
        return whole(*given)
    monkeypatch.setattr(predict_folder, '_predict', replaced)
    predict_folder.predict_folder(copy, odd, tmp_path/'table.csv', report=str)
    assert kept() == []


def test_a_model_that_can_have_no_graph_is_loaded(vision, pets, kept, odd, tmp_path): # noqa: F811
    "One that resamples a batch, and one of the first format, whose file doesn't describe it"
    import zipfile

    from fastbook_notes.intro import cat_dataloaders
    from fastbook_notes.models.backbones import pretrained_learner
    dls = cat_dataloaders(pets, size=32, bs=8)
    dls.add_tfms(vision.aug_transforms(size=24), 'after_batch')
    save_model(pretrained_learner(dls, SMALL, pretrained=False), tmp_path/'resampled')
    with zipfile.ZipFile(ROOT/'tests'/'data'/'format1.zip') as old: old.extractall(tmp_path/'old')
    old = next((tmp_path/'old').rglob(MODEL_FILE)).parent
    for name, folder in (('resampled', tmp_path/'resampled'), ('old', old)):
        assert predict_folder.predict_folder(folder, odd, tmp_path/f'{name}.csv', report=str)['labelled'] == len(ODD)
    assert kept() == []


@pytest.mark.parametrize('how', ['exporter', 'answers', 'size'])
def test_whatever_speaks_against_a_graph_costs_no_answer(how, kept, odd, asked, monkeypatch, tmp_path):
    folder, _, table, (numbers, _) = asked['trained']
    if how == 'exporter': monkeypatch.setattr(exports, '_export', lambda *_: 1/0)
    whole, wrong = exports._FromBytes.forward, lambda self, pixels: whole(self, 255 - pixels)
    if how == 'answers': monkeypatch.setattr(exports._FromBytes, 'forward', wrong)
    if how == 'size': monkeypatch.setattr(exports, 'MAX_GRAPH', 1000)
    assert predict_folder.predict_folder(folder, odd, tmp_path/'table.csv', report=str) == numbers
    assert same_rows(tmp_path/'table.csv', table) and kept() == []


def test_a_gpu_is_left_to_pytorch(asked, kept):
    folder = asked['trained'][0]
    predictor = load_model(folder)
    predictor.device = torch.device('cuda')
    exports.leave_graph(predictor, folder, model_digest(folder))
    assert kept() == []
    predictor.device = torch.device('cpu')
    exports.leave_graph(predictor, folder, model_digest(folder))
    assert len(kept()) == 1


def test_a_cache_that_can_not_be_written_to_costs_no_answer(asked, odd, monkeypatch, tmp_path):
    folder, _, table, (numbers, _) = asked['trained']
    (tmp_path/'cache').write_text('a file')
    monkeypatch.setenv('FASTBOOK_NOTES_CACHE', str(tmp_path/'cache'))
    assert predict_folder.predict_folder(folder, odd, tmp_path/'table.csv', report=str) == numbers
    assert same_rows(tmp_path/'table.csv', table)


def test_many_pictures_are_left_to_pytorch(only, kept, monkeypatch, tmp_path):
    folder, _ = only('trained')
    opened = []
    whole = predict_folder._open_model
    monkeypatch.setattr(predict_folder, '_open_model', lambda *given: opened.append(type((found := whole(*given))[0]).__name__) or found)
    picture(40, 30).save(tmp_path/'one.png')
    (tmp_path/'many').mkdir()
    for i in range(FEW_PICTURES + 1):
        os.link(tmp_path/'one.png', tmp_path/'many'/f'{i}.png')
        if i >= FEW_PICTURES - 1: predict_folder.predict_folder(folder, tmp_path/'many', tmp_path/f'{i}.csv', report=str)
    assert opened == ['GraphPredictor', 'Predictor']
    assert [row[1:] for row in rows(tmp_path/f'{FEW_PICTURES}.csv')][:-1] == [row[1:] for row in rows(tmp_path/f'{FEW_PICTURES - 1}.csv')]


TYPED = f'''
import sys
from fastbook_notes.command import main
try: main()
finally: print(*{HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}}, file=open('modules', 'w'))
'''


def test_the_command_says_the_same_and_loads_no_pytorch(own_cache, odd, tmp_path):
    "The first time and the second, on one picture and on a folder, of a model made of words"
    shutil.rmtree(own_cache/'graphs', ignore_errors=True)
    found = []
    for turn in ('first', 'second'):
        for what in (odd/'turned.jpg', odd):
            place = tmp_path/turn/what.name
            place.mkdir(parents=True)
            done = subprocess.run([sys.executable, '-c', TYPED, 'predict', 'cat_or_dog', str(what)], cwd=place, capture_output=True)
            assert done.returncode == 0, done.stderr
            found.append((done.stdout, re.sub(rb'\d[\d.:<?]*|[^ -~]', b'', done.stderr), (place/'modules').read_text().split(), place))
    (said, bar, heavy, _), *later = found
    assert {'torch', 'timm'} <= set(heavy) and [modules for _, _, modules, _ in later] == [[]]*3
    for turn in range(2):
        one, other = found[turn], found[turn + 2]
        assert one[:2] == other[:2] and same_rows(one[3]/'predictions.csv', other[3]/'predictions.csv')
        assert sorted(p.name for p in one[3].iterdir()) == sorted(p.name for p in other[3].iterdir())


def test_the_digest_is_of_an_ordinary_file(tmp_path):
    "None of what would be read without end, or is larger than any model"
    (tmp_path/MODEL_FILE).symlink_to('/dev/zero')
    assert model_digest(tmp_path) == model_digest(tmp_path/'nowhere') == ''
    (tmp_path/MODEL_FILE).unlink()
    with (tmp_path/MODEL_FILE).open('wb') as file: file.truncate(2_100_000_000)
    assert model_digest(tmp_path) == ''
    (tmp_path/MODEL_FILE).write_bytes(b'weights')
    assert model_digest(tmp_path) == hashlib.sha256(b'weights').hexdigest()[:32]
