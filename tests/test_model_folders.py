"Model folders: what is saved says what the learner says, what is damaged or hostile is refused, and a killed save leaves a whole model."
import ast
import json
import os
import pickle
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

from conftest import ROOT
from fastbook_notes.models import model_folder
from fastbook_notes.errors import NotesError
from fastbook_notes.models.model_folder import _FILES, ONNX, BadModel, _convert_here, _sealed, _sha256, _text_of, convert_export, learner_from, load_model, save_model, save_onnx, set_card
from fastbook_notes.quiet_imports import import_quietly
from odd_pictures import check_survey, run_survey

posix_only = pytest.mark.skipif(os.name == 'nt', reason='forks and kills as POSIX does')
SMALL, KILLS = 'mobilenetv3_small_050', 50


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
    from fastbook_notes.models.backbones import pretrained_learner
    from fastbook_notes.intro import cat_dataloaders
    vision.set_seed(1)
    return pretrained_learner(cat_dataloaders(pets, size=32, bs=8), SMALL, pretrained=False, lin_ftrs=[16], metrics=vision.error_rate)


@pytest.fixture(scope='module')
def model(small_learner, tmp_path_factory):
    "The folder of a saved model"
    return save_model(small_learner, tmp_path_factory.mktemp('models')/'small', data='Forty pictures', licence='CC0-1.0')


# Every chapter's model

def cat_model(vision, pets, tmp):
    from fastbook_notes.intro import cat_dataloaders, cat_learner
    return cat_learner(cat_dataloaders(pets, size=96, bs=8))


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
    table = pd.DataFrame({'fname': names, 'labels': [name.partition('_')[0] + ' pet' for name in names], 'is_valid': [i % 5 == 0 for i in range(len(names))]})
    return multicat_learner(multicat_dataloaders(tmp, table, size=64, bs=8))


def book_model(vision, pets, tmp):
    "As the book makes it: presized, with crops on the batch"
    dls = vision.ImageDataLoaders.from_name_func(pets, sorted(pets.iterdir()), label_func=lambda name: name[0].isupper(), valid_pct=0.2, seed=42, bs=8, num_workers=0,
                                                 item_tfms=vision.Resize(80), batch_tfms=vision.aug_transforms(size=48, min_scale=0.75))
    return vision.vision_learner(dls, vision.resnet34, pretrained=False)


def grey_model(vision, pets, tmp):
    block = vision.DataBlock((vision.ImageBlock(vision.PILImageBW), vision.CategoryBlock), get_y=lambda file: file.name[0], item_tfms=vision.Resize(32, vision.ResizeMethod.Pad, pad_mode='border'))
    return vision.vision_learner(block.dataloaders(sorted(pets.iterdir()), bs=8, num_workers=0), vision.resnet18, pretrained=False, n_in=1)


SIZES = ((128, 128), (61, 43), (17, 200), (333, 20), (9, 9), (640, 479))


@pytest.mark.parametrize('make', [cat_model, cropped_cat_model, breed_model, several_model, book_model, grey_model], ids=lambda make: make.__name__)
def test_the_saved_model_says_what_the_learner_says(make, vision, pets, tmp_path, record_property):
    vision.set_seed(0)
    learn = make(vision, pets, tmp_path)
    with torch.no_grad():
        for p in learn.model[1].parameters(): p.add_(0.1*torch.randn_like(p))
    predictor = load_model(save_model(learn, tmp_path/'model'))
    files = [tmp_path/f'{width}x{height}.png' for width, height in SIZES]
    for file, size in zip(files, SIZES): picture(*size, seed=5).save(file)
    labels, probabilities = predictor.predict(files)
    with learn.no_bar(), learn.no_logging():
        said = [learn.predict(file if make is not several_model else vision.PILImage.create(file)) for file in files]
    gap = max((row - answer[2]).abs().max().item() for row, answer in zip(probabilities, said))
    record_property('figure', f'{make.__name__}: probabilities within {gap:.1g} of the learner\'s')
    assert gap <= 1e-4
    for label, file, answer in zip(labels, files, said):
        assert (label if isinstance(label, list) else str(label)) == (list(answer[0]) if isinstance(label, list) else str(answer[0]))
        one = predictor.predict(file)
        assert one.label == label and (one.probabilities - answer[2]).abs().max() <= 1e-4
    assert predictor.vocab == list(learn.dls.vocab)


def test_pictures_from_anywhere_give_the_same(model, tmp_path):
    predictor = load_model(model)
    picture(50, 70).save(tmp_path/'a.png')
    data, expected = (tmp_path/'a.png').read_bytes(), predictor.predict(tmp_path/'a.png').probabilities
    for source in (str(tmp_path/'a.png'), data, bytearray(data), memoryview(data), picture(50, 70)): assert torch.equal(predictor.predict(source).probabilities, expected)
    for many in ([data]*3, (data for _ in range(3)), tuple([data]*3)):
        labels, probabilities = predictor.predict(many, bs=2)
        assert len(labels) == 3 and torch.allclose(probabilities, expected.expand(3, -1), atol=1e-6)
    assert predictor.predict([]).label == [] and predictor.predict([]).probabilities.shape == (0, 2)


def test_going_on_training(model, small_learner, vision, pets, tmp_path):
    from fastbook_notes.intro import cat_dataloaders
    learn = learner_from(model, cat_dataloaders(pets, size=32, bs=8), metrics=vision.error_rate)
    with learn.no_bar(), learn.no_logging(), small_learner.no_bar():
        assert learn.validate()[0] == pytest.approx(small_learner.validate()[0], abs=1e-5)
        before = {name: value.clone() for name, value in learn.model.state_dict().items()}
        learn.fit_one_cycle(1, 1e-3)
    changed = [name for name, value in learn.model.named_parameters() if not torch.equal(value, before[name])]
    assert {name[0] for name in changed} == {'0', '1'} and len(changed) > 0.8*len(list(learn.model.parameters()))
    again = load_model(save_model(learn, tmp_path/'again'))
    file = next(pets.iterdir())
    with learn.no_bar(), learn.no_logging(): assert torch.allclose(again.predict(file).probabilities, learn.predict(file)[2], atol=1e-4)
    assert set(again.settings['metrics']) == {'train_loss', 'valid_loss', 'error_rate'}


def test_what_is_no_classifier_of_pictures_is_not_saved(vision, pets, tmp_path):
    from fastbook_notes.models.backbones import pretrained_learner
    files = sorted(pets.iterdir())

    def learner(block=vision.CategoryBlock, **kwargs):
        data = vision.DataBlock((vision.ImageBlock, block), get_y=lambda file: file.stat().st_size/1e3 if block is vision.RegressionBlock else file.name[0], **kwargs)
        return pretrained_learner(data.dataloaders(files, bs=8, num_workers=0), SMALL, pretrained=False)

    class Mirrored(vision.Transform):
        order = 5
        def encodes(self, x: vision.PILImage): return x.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    for learn, said in ((learner(vision.RegressionBlock, item_tfms=vision.Resize(32)), 'loss BaseLoss'), (learner(item_tfms=[vision.Resize(32), Mirrored()]), 'Mirrored')):
        with pytest.raises(NotesError, match=said): save_model(learn, tmp_path/'no')
    changed = learner(item_tfms=vision.Resize(32))
    changed.model[0].forward = lambda x: torch.flip(type(changed.model[0]).forward(changed.model[0], x), [1])
    with pytest.raises(NotesError, match='would not say what the learner says'): save_model(changed, tmp_path/'no')
    assert not (tmp_path/'no').exists()


# What it costs

PREDICT = '''
import sys
from fastbook_notes.models.model_folder import load_model
print(load_model(sys.argv[1]).predict(sys.argv[2]).label, *sorted({name.partition('.')[0] for name in sys.modules} & {'fastai', 'fastcore', 'pandas', 'matplotlib', 'IPython', 'pickle5', 'dill'}))
'''


def test_the_first_prediction_needs_no_fastai(vision, pets, tmp_path, record_property):
    folder, file = save_model(cat_model(vision, pets, tmp_path), tmp_path/'lite0'), min(pets.iterdir())

    def seconds(*words):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, '-c', *map(str, words)], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, 'OMP_NUM_THREADS': '1'})
        assert done.returncode == 0 and done.stderr == '', done.stderr
        return time.perf_counter() - start, done.stdout.split()

    (bare, _), (ours, said) = seconds('import torch, timm'), seconds(PREDICT, folder, file)
    record_property('figure', f'First prediction with lite0: {ours/bare:.2f} times `import torch, timm` ({ours:.1f} s to {bare:.1f} s)')
    assert said in (['True'], ['False'])


# Damaged and hostile folders

class Marked:
    "A pickle of it makes a file"
    def __init__(self, file): self.file = file
    def __reduce__(self): return Path.touch, (self.file,)


def files_of(folder): return {name: (folder/name).read_bytes() for name in _FILES}


def with_settings(files, change=None, **updates):
    "The files with another description, whose digest is right"
    settings = json.loads(files['model.json'])
    if change: change(settings)
    return files | {'model.json': _text_of(_sealed(settings | updates))}


def with_weights(files, data):
    "The files with other weights, whose digests are right"
    return with_settings(files, weights=dict(bytes=len(data), sha256=_sha256(data))) | {'model.safetensors': data}


def leaves(value, path=()):
    "Every key of a description"
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from leaves(entry, (*path, key))


def at(settings, path):
    for key in path: settings = settings[key]
    return settings


FREE = {('metrics',), ('versions',), ('data',), ('vocabulary',)} # whose entries may say anything


def corrupted(folder, marker):
    "Damaged and hostile versions of a model, as (what is wrong, files by name)"
    files, rng = files_of(folder), random.Random(4)
    settings = json.loads(files['model.json'])
    state = load_file(folder/'model.safetensors')
    first = next(name for name, value in state.items() if value.ndim == 4)
    evil = pickle.dumps(Marked(marker))
    for name, data in files.items():
        for share in (0, 0.001, 0.25, 0.5, 0.99): yield f'{name} cut at {share:.1%}', files | {name: data[:int(share*len(data))]}
        yield f'{name} without its last byte', files | {name: data[:-1]}
        yield f'{name} and a byte more', files | {name: data + b'\n'}
        yield f'{name} missing', {n: d for n, d in files.items() if n != name}
        yield f'{name} of zeros', files | {name: bytes(len(data))}
        for other in _FILES:
            if other != name: yield f'{name} that is {other}', files | {name: files[other]}
        for _ in range(6):
            flipped, place = bytearray(data), rng.randrange(len(data))
            flipped[place] ^= 1 << rng.randrange(8)
            yield f'{name} with a bit flipped at {place}', files | {name: bytes(flipped)}
    for n in (1, 8, 100):
        place = rng.randrange(8)
        flipped = bytearray(files['model.safetensors'])
        flipped[place] = n
        yield f'byte {place} of the weights is {n}, and the digests say so', with_weights(files, bytes(flipped))

    def without(path): return lambda s: at(s, path[:-1]).pop(path[-1])
    def putting(path, value): return lambda s: at(s, path[:-1]).__setitem__(path[-1], value)
    for path in leaves(settings):
        if path[-1] == 'digest': continue
        if isinstance(path[-1], str) and path[:1] not in {('metrics',), ('versions',)} or len(path) == 1: yield f'without {path}', with_settings(files, without(path))
        if path[:1] in FREE and len(path) > 1: continue
        for value in rng.sample((None, -1, 10**12, 1e300, [], 'x'), 2):
            if value == at(settings, path) or path == ('threshold',) and value is None or path == ('picture', 'steps') and value == []: continue
            if path[-2:-1] == ('mean',) and value in (-1, 10**12) or path[-2:-1] == ('std',) and value == 10**12: continue
            yield f'{path} is {value!r}', with_settings(files, putting(path, value))
    for name in ('../../../etc/passwd', '/etc/passwd', 'hf-hub:someone/model', 'hf_hub:someone/model', 'local-dir:/tmp', 'resnet18\n', '__import__("os")', 'get_model', 'os.system', 'a'*5000, 'ŕesnet18', '', '.', '..',
                 'vit_giant_patch14_clip_224', 'convnext_xxlarge', 'resnet18'):
        yield f'architecture {name[:30]!r}', with_settings(files, putting(('architecture', 'name'), name))
        yield f'torchvision architecture {name[:30]!r}', with_settings(files, architecture=dict(library='torchvision', name=name, channels=3, parts=8))
    head = settings['head']
    linear = next(layer for layer in head if layer['layer'] == 'Linear')
    for what, layers in {'empty': [], 'of 101 layers': [*[{'layer': 'ReLU'}]*100, *head], 'of an unknown layer': [*head, {'layer': 'Lambda', 'function': 'os.system'}], 'of a layer with a path': [*head, {'layer': '../x'}],
                         'of a huge layer': [{**linear, 'in_features': 10**6, 'out_features': 10**6}, *head], 'in reverse': head[::-1], 'without its last layer': head[:-1], 'doubled': head*2,
                         'of a layer with code': [*head, {'layer': 'ReLU', '__class__': 'os'}]}.items(): yield f'a head {what}', with_settings(files, head=layers)
    vocabulary = settings['vocabulary']
    for what, words in {'empty': [], 'one too many': [*vocabulary, 'x'], 'one too few': vocabulary[1:], 'twice the same': vocabulary[:1]*2, 'of lists': [[w] for w in vocabulary], 'of dicts': [{} for _ in vocabulary],
                        'of a very long word': ['x'*20_000, *vocabulary[1:]], 'of one and True': [1, True]}.items(): yield f'a vocabulary {what}', with_settings(files, vocabulary=words)
    step = settings['picture']['steps'][0]
    for what, steps in {'none': [], 'unknown': [{'step': 'exec', 'code': 'x'}], 'huge': [{**step, 'size': [4096, 10**9]}], 'of no pixels': [{**step, 'size': [0, 0]}], 'too many': [step]*101, 'odd': ['resize'],
                        'only a resampling': [{'step': 'resample', 'size': [8, 8], 'pad': 'zeros', 'mode': 'bilinear', 'align_corners': True}]}.items():
        yield f'steps: {what}', with_settings(files, picture={**settings['picture'], 'steps': steps})
    yield 'several labels with no threshold', with_settings(files, labels='several')
    yield 'a single label with a threshold', with_settings(files, threshold=0.5)
    yield 'a newer format', with_settings(files, format=2)
    text = files['model.json']
    for what, data in {'nested 100,000 deep': b'['*100_000, 'a number of 5,000 digits': text.replace(b'"format": 1', b'"format": 1' + b'0'*5000, 1), 'NaN': text.replace(b'"format": 1', b'"format": NaN', 1),
                       'of 2 MB': text[:-2] + b' '*2_000_000 + text[-2:], 'UTF-16': text.decode().encode('utf-16'), 'with a BOM': b'\xef\xbb\xbf' + text, 'not UTF-8': text.replace(b'Forty', b'Fort\xff', 1), 'a list': b'[1]', 'a string': b'"x"',
                       'a number': b'1', 'null': b'null', 'Python': b'{"format": __import__("os").getpid()}', 'a pickle': evil, 'with a key twice': text.replace(b'"format": 1', b'"format": 1,\n "format": 1', 1),
                       'with a newline in a key': _text_of({'a\nb': 1})}.items(): yield f'model.json {what}', files | {'model.json': data}
    tensors = {
        'one missing': {k: v for k, v in state.items() if k != first}, 'one more': {**state, 'extra': torch.zeros(1)}, 'one of another shape': {**state, first: state[first][:1]}, 'one renamed': {k + ('.' if k == first else ''): v for k, v in state.items()},
        'one in half precision': {**state, first: state[first].half()}, 'one of whole numbers': {**state, first: state[first].int()}, 'one in double precision': {**state, first: state[first].double()},
        'one that is no number': {**state, first: state[first]*float('nan')}, 'one that is infinite': {**state, first: state[first]/0}, 'none': {}, 'one scalar': {'a': torch.tensor(1.)}, 'one flattened': {**state, first: state[first].flatten()}}
    for what, tensor in tensors.items(): yield f'weights, {what}', with_weights(files, save({k: v.contiguous() for k, v in tensor.items()}))
    good = files['model.safetensors']
    length = struct.unpack('<Q', good[:8])[0]
    header, body = json.loads(good[8:8 + length]), good[8 + length:]

    def weights(change, rest=body):
        changed = json.loads(json.dumps(header))
        change(changed)
        text = json.dumps(changed).encode()
        return struct.pack('<Q', len(text)) + text + rest

    for what, data in {'a header of 2**60 bytes': struct.pack('<Q', 2**60) + good[8:], 'a header of no bytes': struct.pack('<Q', 0) + good[8:], 'a huge shape': weights(lambda h: h[first].update(shape=[2**40, 2**40])), 'a negative shape': weights(lambda h: h[first].update(shape=[-1])),
                       'offsets beyond the end': weights(lambda h: h[first].update(data_offsets=[0, 2**50])), 'offsets that overlap': weights(lambda h: h[first].update(data_offsets=[4, 8])), 'backward offsets': weights(lambda h: h[first].update(data_offsets=[8, 4])),
                       'an unknown kind of number': weights(lambda h: h[first].update(dtype='PICKLE')), 'a pickle': evil + bytes(len(good) - len(evil)), 'only a pickle': evil, 'a zip': b'PK\3\4' + good[4:], 'a body too short': weights(lambda h: None, body[:-4]), 'a body too long': weights(lambda h: None, body + bytes(4)),
                       'no header but text': b'x'*len(good), 'a pickle behind the header': weights(lambda h: None, body[:-len(evil)] + evil + b'.')}.items(): yield f'weights: {what}', with_weights(files, data)
    yield 'a pickle as the card', files | {'README.md': evil}
    yield 'a card of 20 MB', files | {'README.md': bytes(20_000_000)}


def write_files(folder, files):
    folder.mkdir()
    for name, data in files.items(): (folder/name).write_bytes(data)
    return folder


def odd_folders(folder, model):
    "What isn't files, by name"
    for name in _FILES:
        places = {f'{name} is a folder': lambda file: file.mkdir(), f'{name} is a link to itself': lambda file: file.symlink_to(file.name), f'{name} is a link to a device': lambda file: file.symlink_to('/dev/zero'),
                  f'{name} is a pipe': os.mkfifo, f'{name} has 100 GB': lambda file: os.truncate(os.open(file, os.O_CREAT | os.O_WRONLY), 100_000_000_000)}
        for what, make in places.items():
            target = shutil.copytree(model, folder/what.replace('/', ' '))
            (target/name).unlink()
            make(target/name)
            yield what, target
    for word in ('', 'nowhere', 'a\0b', 'x'*5000, '/dev/null', '/dev/zero', '/etc/passwd', 'https://example.org/model'): yield f'the word {word[:20]!r}', word


WATCHED, happened = ('pickle.find_class', 'os.system', 'subprocess.Popen', 'os.exec', 'os.posix_spawn', 'socket.connect', 'socket.getaddrinfo'), None


def watch(event, args):
    if happened is not None and event in WATCHED: happened.append(event)


@pytest.fixture
def nothing_runs():
    "Python's own audit: no pickle is read, no process started, no address asked for"
    global happened
    if not hasattr(sys, '_fastbook_notes_watch'):
        sys.addaudithook(watch)
        sys._fastbook_notes_watch = True
    happened = []
    yield happened
    happened = None


def refuse(folder, slowest):
    "The one line that a folder is refused with; anything else fails"
    start = time.process_time()
    with pytest.raises(BadModel) as error: load_model(folder)
    slowest.append(time.process_time() - start)
    said = str(error.value)
    assert len(said.splitlines()) == 1 and len(said) < 6000 and ' at 0x' not in said and 'Traceback' not in said, said[:500]
    return said


def test_every_corrupted_folder_is_refused(model, tmp_path, nothing_runs, record_property):
    import timm
    timm.create_model('resnet18')
    slowest, accepted, n, same = [], [], 0, files_of(model)
    for what, files in corrupted(model, tmp_path/'it ran'):
        if files == same: continue
        folder = write_files(tmp_path/'model', files)
        try: refuse(folder, slowest)
        except pytest.fail.Exception: accepted.append(what)
        n += 1
        shutil.rmtree(folder)
    if os.name != 'nt':
        for what, folder in odd_folders(tmp_path, model):
            refuse(folder, slowest)
            n += 1
    assert load_model(model)
    record_property('figure', f'Model folders: {n} corrupted ones, {n - len(accepted)} refused in one line, {len(accepted)} accepted; slowest {max(slowest):.1f} s; watched for running code: {nothing_runs or "none ran"}')
    assert accepted == [] and n >= 200 and max(slowest) < 5
    assert nothing_runs == [] and not (tmp_path/'it ran').exists()


def test_pickles_are_refused_by_name(model, tmp_path, nothing_runs):
    evil = pickle.dumps(Marked(tmp_path/'it ran'))
    for name in ('export.pkl', 'model.pth', 'model.safetensors', 'no ending'):
        (tmp_path/name).write_bytes(evil)
        assert '--i-trust-this-file' in refuse(tmp_path/name, [])
    (tmp_path/'folder').mkdir()
    (tmp_path/'folder'/'export.pkl').write_bytes(evil)
    assert '--i-trust-this-file' in refuse(tmp_path/'folder', [])
    with pytest.raises(NotesError, match='i-trust-this-file'): convert_export(tmp_path/'export.pkl', tmp_path/'converted')
    assert nothing_runs == [] and not (tmp_path/'it ran').exists() and not (tmp_path/'converted').exists()


def named_by_hand(name): return name[0].isupper()


def test_a_trusted_export_is_converted_in_its_own_process(vision, pets, tmp_path, capsys):
    "Also when its label function is gone: the other process doesn't know this file"
    files = sorted(pets.iterdir())
    dls = vision.ImageDataLoaders.from_name_func(pets, files, label_func=named_by_hand, valid_pct=0.2, seed=42, bs=8, num_workers=0, item_tfms=vision.Resize(32))
    learn = vision.vision_learner(dls, SMALL, pretrained=False, lin_ftrs=[16], metrics=vision.error_rate)
    learn.path = tmp_path
    learn.export('export.pkl')
    with learn.no_bar(), learn.no_logging(): expected = learn.predict(files[0])[2]
    assert b'named_by_hand' in (tmp_path/'export.pkl').read_bytes() or b'test_models' in (tmp_path/'export.pkl').read_bytes()
    before = set(sys.modules)
    predictor = load_model(convert_export(tmp_path/'export.pkl', tmp_path/'converted', trusted=True, data='Pets', licence='CC0-1.0'))
    assert set(sys.modules) == before and predictor.vocab == [False, True] and predictor.settings['data'] == {'name': 'Pets', 'licence': 'CC0-1.0'}
    assert torch.allclose(predictor.predict(files[0]).probabilities, expected, atol=1e-4)
    (tmp_path/'broken.pkl').write_bytes((tmp_path/'export.pkl').read_bytes()[:-2000])
    assert _convert_here(str(tmp_path/'broken.pkl'), str(tmp_path/'no'), '', '') == 2
    said = capsys.readouterr().err
    assert "broken.pkl can't be converted" in said and len(said.strip().splitlines()) == 1 and not (tmp_path/'no').exists()


# No pickle anywhere

PICKLING = {'pickle', '_pickle', 'cPickle', 'cloudpickle', 'dill', 'joblib', 'shelve', 'marshal', 'jsonpickle'}
UNPICKLERS = {'load_learner', 'read_pickle', 'Unpickler', 'untar_model', 'eval', 'exec'}


def unpickling(source):
    "Lines of a module that could unpickle, or run text, outside of the one function that is there for it"
    tree = ast.parse(source)
    allowed = {id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) and function.name == '_convert_here' for node in ast.walk(function)}
    for node in ast.walk(tree):
        if id(node) in allowed: continue
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if isinstance(node, ast.ImportFrom) and node.module: names += [node.module]
        if any(name.partition('.')[0] in PICKLING or name.rpartition('.')[2] in UNPICKLERS for name in names): yield node.lineno
        if not isinstance(node, ast.Call): continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')
        options = {keyword.arg: getattr(keyword.value, 'value', None) for keyword in node.keywords}
        if isinstance(node.func, ast.Name) and name in UNPICKLERS or name in UNPICKLERS - {'eval', 'exec'}: yield node.lineno
        if ast.unparse(node.func) in ('torch.load', 'torch.jit.load', 'torch.hub.load') and options.get('weights_only') is not True: yield node.lineno
        if options.get('allow_pickle') or 'pickle_module' in options or options.get('weights_only') is False: yield node.lineno


@pytest.mark.parametrize('module', sorted(path for path in (ROOT/'fastbook_notes').rglob('*.py') if path.stem != '_modidx'), ids=lambda path: path.stem)
def test_the_package_never_unpickles(module):
    source = module.read_text(encoding='utf-8')
    assert list(unpickling(source)) == []
    assert module.stem == 'model_folder' or '_convert_here' not in source


@pytest.mark.parametrize('source', ['import pickle', 'from pickle import loads', 'import joblib', 'torch.load(f)', 'torch.load(f, weights_only=False)', 'np.load(f, allow_pickle=True)', 'pd.read_pickle(f)', 'load_learner(f)',
                                    'from fastai.learner import load_learner', 'learner.load_learner(f)', 'eval(text)', 'torch.hub.load(repo)', 'def convert():\n    import pickle'])
def test_what_would_unpickle_is_found(source):
    assert list(unpickling(source))


def test_only_a_process_of_its_own_converts():
    "The function that unpickles is named once, in the code for that process"
    source = (ROOT/'fastbook_notes'/'models'/'model_folder.py').read_text(encoding='utf-8')
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == '_convert_here']
    assert calls == [] and source.count('_convert_here') == 3


# ONNX

ONNX_PARTS = ('onnx', 'onnxscript', 'onnxruntime')


@pytest.mark.skipif(any(find_spec(name) is None for name in ONNX_PARTS), reason='needs the extra [onnx]: pip install "fastbook-notes[onnx]"')
def test_onnx_says_the_same(vision, pets, tmp_path, record_property):
    import onnxruntime
    vision.set_seed(0)
    folder = save_model(cat_model(vision, pets, tmp_path), tmp_path/'model')
    predictor, session = load_model(folder), onnxruntime.InferenceSession(save_onnx(folder), providers=['CPUExecutionProvider'])
    pictures, most = [picture(*size, seed=5) for size in SIZES], 0
    for some in (pictures, pictures[:1]):
        pixels = predictor.scaled(torch.stack([predictor.prepare(one) for one in some]))
        said, = session.run(None, {'pixels': pixels.numpy()})
        expected = predictor.predict(some).probabilities
        most = max(most, (torch.from_numpy(said) - expected).abs().max().item())
        assert len(some) == 1 or expected.std(0).min() > 0.01
    record_property('figure', f'ONNX: probabilities within {most:.1g} of the model folder\'s')
    assert most <= 1e-3 and sorted(p.name for p in folder.iterdir()) == sorted([*_FILES, ONNX]) and load_model(folder)


def test_what_onnx_needs_is_named(model, monkeypatch):
    monkeypatch.setattr(model_folder, 'find_spec', lambda name: None)
    with pytest.raises(NotesError, match=r'needs onnx; run `pip install "fastbook-notes\[onnx\]"`'): save_onnx(model)


# Killed saves

KILL = '''
import os, random, signal, sys, time
from pathlib import Path
from fastbook_notes.models.model_folder import _FILES, _read_file, _write_folder, load_model
folder, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(7)
made = [{name: (Path(source)/name).read_bytes() for name in _FILES} for source in sys.argv[3:]]

def kill_at(n):
    "Kill this process just before its n-th operation on files"
    done = [0]
    def count(event, args):
        if event in ('open', 'os.rename', 'os.mkdir', 'os.rmdir', 'os.remove', 'shutil.rmtree'):
            done[0] += 1
            if done[0] == n: os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)

start = time.perf_counter()
for files in made: _write_folder(folder, files)
whole, killed, old, new, before, attempts = (time.perf_counter() - start)/2, 0, 0, 0, 1, 0
while killed < kills and attempts < 20*kills:
    wanted, at, wait, attempts = 1 - before, rng.randrange(1, 30)*(rng.random() < 0.7), rng.uniform(0, whole), attempts + 1
    if not (child := os.fork()):
        if at: kill_at(at)
        _write_folder(folder, made[wanted])
        os._exit(0)
    if not at:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    died = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    after = made.index({name: _read_file(folder, name, 10**8) for name in _FILES})
    assert after == wanted or died, (before, wanted, after)
    if died: killed, old, new = killed + 1, old + (after == before), new + (after == wanted)
    before = after
_write_folder(folder, made[1])
load_model(folder)
print(killed, old, new, *sorted(p.name for p in folder.iterdir() if not p.name.startswith('.saving-')))
'''


@posix_only
def test_a_killed_save_leaves_the_old_model_or_the_new(model, tmp_path, record_property):
    other = set_card(shutil.copytree(model, tmp_path/'other'), '# Another card')
    done = subprocess.run([sys.executable, '-c', KILL, tmp_path/'model', str(KILLS), model, other], capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr[-3000:]
    killed, old, new, *names = done.stdout.split()
    record_property('figure', f'Saves: {killed} killed; the old model was whole {old} times, the new one {new} times')
    assert int(killed) >= KILLS and int(old) and int(new) and int(old) + int(new) == int(killed) and names == sorted(_FILES)


def test_who_reads_while_somebody_saves_gets_a_whole_model(model, tmp_path):
    folder, wrong = Path(shutil.copytree(model, tmp_path/'model')), []
    writer = threading.Thread(target=lambda: [set_card(folder, f'# Card {i}') for i in range(10)])
    writer.start()
    while writer.is_alive():
        try: load_model(folder)
        except BadModel as e: wrong.append(str(e))
    assert wrong == [] and (folder/'README.md').read_text() == '# Card 9'


# The card, and other files beside the model

def test_the_card_can_be_changed_by_those_who_mean_it(model, tmp_path):
    folder = Path(shutil.copytree(model, tmp_path/'model'))
    assert 'Forty pictures' in (folder/'README.md').read_text() and 'CC0-1.0' in (folder/'README.md').read_text()
    (folder/'README.md').write_text('Perfect.')
    with pytest.raises(BadModel, match='set_card'): load_model(folder)
    load_model(set_card(folder, '# Cats\r\nSees cats.\r\n'))
    (folder/'model.json').write_bytes((folder/'model.json').read_bytes().replace(b'\n', b'\r\n'))
    load_model(folder)


def test_saving_keeps_what_else_is_in_the_folder(small_learner, tmp_path):
    (tmp_path/'notes.txt').write_text('mine')
    (tmp_path/'model.onnx').write_text('of an older model')
    save_model(small_learner, tmp_path, card='# Mine')
    assert (tmp_path/'notes.txt').read_text() == 'mine' and (tmp_path/'README.md').read_text() == '# Mine' and not (tmp_path/'model.onnx').exists()


def test_a_place_that_is_taken_is_named(small_learner, tmp_path):
    (tmp_path/'taken').write_text('mine')
    with pytest.raises(NotesError, match='taken'): save_model(small_learner, tmp_path/'taken')
    assert (tmp_path/'taken').read_text() == 'mine'


@posix_only
def test_every_odd_picture_is_predicted_or_refused(model, tmp_path, record_property):
    code = f'from fastbook_notes.models.model_folder import load_model; import torch; torch.set_num_threads(1); print(json.dumps(survey(load_model({str(model)!r}).predict, pathlib.Path("."), mutated=100)))'
    check_survey(run_survey(code, tmp_path), 'Predictions', record_property)
