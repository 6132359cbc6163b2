"Training that is killed again and again ends as if it had not been."
import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fastbook_notes.errors import NotesError
from fastbook_notes.quiet_imports import import_quietly

posix_only = pytest.mark.skipif(os.name == 'nt', reason='forks and kills as POSIX does')
KILLS = 20

TRAIN = '''
import os, random, signal, sys, time, warnings
from pathlib import Path
warnings.simplefilter('ignore')
import numpy as np
import torch
from PIL import Image
from torch import nn
from fastbook_notes.quiet_imports import import_quietly
import_quietly('fastai.vision.all')
from fastai.vision.all import CategoryBlock, DataBlock, Flip, Learner, RandomResizedCrop, RandomSplitter, accuracy, set_seed
from fastbook_notes.models.checkpoints import CHECKPOINT_FILE, fit_with_checkpoints
from fastbook_notes.data.pictures import picture_block
torch.set_num_threads(1)
EPOCHS = 4

def learner():
    "With all that is drawn at random: weights, order, crops, flips, dropout"
    set_seed(42)
    pictures = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype='uint8')) for i in range(32)]
    block = DataBlock((picture_block(), CategoryBlock), get_x=lambda i: pictures[i], get_y=lambda i: i % 2,
                      splitter=RandomSplitter(0.25, seed=1), item_tfms=RandomResizedCrop(12, min_scale=0.5), batch_tfms=Flip())
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(100, 2))
    learn = Learner(block.dataloaders(range(32), bs=8, num_workers=0), model, metrics=accuracy)
    learn.remove_cb(learn.progress)
    learn.logger = lambda row: None
    return learn

def train(folder, resume):
    learn = fit_with_checkpoints(learner(), EPOCHS, 0.01, folder, resume)
    kept = dict(measured='values', losses='losses', lrs='lrs')
    recorded = {name: torch.tensor(getattr(learn.recorder, of)) for name, of in kept.items()}
    torch.save({'model': learn.model.state_dict(), **recorded}, Path(folder)/'result.part')
    (Path(folder)/'result.part').replace(Path(folder)/'result')

def result(folder): return torch.load(Path(folder)/'result', weights_only=True)

def gap(a, b):
    if a.keys() != b.keys(): return float('inf')
    def of(a, b):
        if isinstance(a, dict): return gap(a, b)
        return (a.double() - b.double()).abs().max().item() if a.shape == b.shape else float('inf')
    return max(of(a[k], b[k]) for k in a)
'''

KILL = TRAIN + '''
def kill_at(n):
    "Kill this process at its n-th file that is opened or renamed"
    done = [0]
    def count(event, args):
        if event in ('open', 'os.rename', 'os.remove'):
            done[0] += 1
            if done[0] == n: os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)

here, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(5)
start = time.perf_counter()
train(here/'whole', False)
whole, expected = time.perf_counter() - start, result(here/'whole')
killed, trainings, most, folder, resumed = 0, 0, 0., here/'broken0', 0
while killed < kills or not (folder/'result').exists():
    at, wait = rng.randrange(1, 12)*(rng.random() < 0.4), rng.uniform(0.1, 0.9)*whole
    enough, resumed = killed >= kills, resumed + (folder/CHECKPOINT_FILE).exists()
    if not (child := os.fork()):
        if at and not enough: kill_at(at)
        train(folder, True)
        os._exit(0)
    if not at and not enough:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    killed += os.WIFSIGNALED(status)
    assert os.WIFSIGNALED(status) or status == 0, status
    if (folder/'result').exists():
        trainings, most = trainings + 1, max(most, gap(result(folder), expected))
        if killed < kills: folder = here/f'broken{trainings}'
print(killed, trainings, resumed, most)
'''



@posix_only
def test_killed_training_ends_like_unbroken_training(tmp_path, record_property):
    done = subprocess.run([sys.executable, '-c', KILL, tmp_path, str(KILLS)], capture_output=True, text=True,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr[-3000:]
    killed, trainings, resumed, most = done.stdout.split()
    record_property('figure',
                    f'Training: {killed} killed, {resumed} times resumed from a checkpoint, {trainings} trainings brought to their end; '
                    f'weights, losses and metrics within {float(most):.1g} of the unbroken one')
    assert int(killed) >= KILLS and int(resumed) and int(trainings) and float(most) <= 1e-6


@pytest.fixture(scope='module')
def vision():
    return import_quietly('fastai.vision.all')


@pytest.fixture
def learner(vision):
    "Makes a learner on numbers, without pictures"
    import torch

    def make(width=4, n=32):
        vision.set_seed(1)
        data = [(torch.randn(6), torch.tensor(i % 2)) for i in range(n)]
        dls = vision.DataLoaders.from_dsets(data, data[:8], bs=8, num_workers=0, device='cpu')
        learn = vision.Learner(dls,
                               torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.ReLU(),
                                                   torch.nn.Linear(width, 2)), loss_func=vision.CrossEntropyLossFlat(),
                                                   metrics=vision.accuracy)
        learn.remove_cb(learn.progress)
        learn.logger = lambda row: None
        return learn
    return make


def fit(learn, folder, epochs=2, **more):
    from fastbook_notes.models.checkpoints import fit_with_checkpoints
    return fit_with_checkpoints(learn, epochs, 0.01, folder, **more)


def weights(learn): return [value.tolist() for value in learn.model.state_dict().values()]


def test_a_training_that_is_done_is_only_read(learner, tmp_path):
    first = fit(learner(), tmp_path)
    again = fit(learner(), tmp_path, resume=True)
    assert weights(again) == weights(first) and again.recorder.iters == first.recorder.iters
    assert [list(row) for row in again.recorder.values] == [pytest.approx(list(row)) for row in first.recorder.values]


def test_without_resume_it_begins_anew(learner, tmp_path):
    first = weights(fit(learner(), tmp_path))
    fit(learner(), tmp_path, epochs=3)
    assert weights(fit(learner(), tmp_path)) == first


def test_resume_without_a_checkpoint_begins_anew(learner, tmp_path):
    assert weights(fit(learner(), tmp_path/'a', resume=True)) == weights(fit(learner(), tmp_path/'b'))


@pytest.mark.parametrize('other, said', [(dict(width=5), 'model is'), (dict(n=16), 'batches are')])
def test_another_training_is_refused(learner, tmp_path, other, said):
    fit(learner(), tmp_path)
    with pytest.raises(NotesError, match=said) as error: fit(learner(**other), tmp_path, resume=True)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(NotesError, match='epochs are'): fit(learner(), tmp_path, epochs=3, resume=True)


class Marked:
    "A pickle of it makes a file"
    def __init__(self, file): self.file = file
    def __reduce__(self): return Path.touch, (self.file,)


def damaged(data, evil):
    "Versions of a checkpoint that are none"
    length = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + length])
    state = json.loads(header['__metadata__']['state'])
    for share in (0, 0.1, 0.5, 0.99): yield data[:int(share*len(data))]
    yield evil
    yield evil + data

    def with_state(text):
        head = json.dumps(header | {'__metadata__': {'state': text}}).encode()
        return struct.pack('<Q', len(head)) + head + data[8 + length:]

    yield with_state('{')
    yield with_state('[' * 50_000)
    for key in state:
        if key not in ('epochs', 'batches'): yield with_state(json.dumps({k: v for k, v in state.items() if k != key}))
    for key in ('numbers', 'hypers', 'random', 'smooth', 'measured'):
        for value in (None, 7, 'x', []): yield with_state(json.dumps(state | {key: value}))
    for key in ('python', 'numpy', 'loaders'):
        for value in (None, 'x', [], [3, [1, 2], None]): yield with_state(json.dumps(state | {'random': state['random'] | {key: value}}))


def test_a_damaged_checkpoint_is_refused(learner, tmp_path):
    fit(learner(), tmp_path)
    file, n = tmp_path/'checkpoint.safetensors', 0
    for data in damaged(file.read_bytes(), pickle.dumps(Marked(tmp_path/'it ran'))):
        file.write_bytes(data)
        with pytest.raises(NotesError, match='is damaged') as error: fit(learner(), tmp_path, resume=True)
        assert len(str(error.value).splitlines()) == 1
        n += 1
    assert n > 30 and not (tmp_path/'it ran').exists()


def test_a_place_that_is_taken_is_named(learner, tmp_path):
    (tmp_path/'taken').write_text('mine')
    with pytest.raises(NotesError, match='taken'): fit(learner(), tmp_path/'taken')
    assert (tmp_path/'taken').read_text() == 'mine'
    with pytest.raises(NotesError, match='at least 1'): fit(learner(), tmp_path/'x', epochs=0)


@pytest.fixture
def pictures(tmp_path):
    "Forty pictures of two labels"
    import numpy as np
    from PIL import Image
    (tmp_path/'pictures').mkdir()
    for i in range(40):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 12, 3),
                                                          dtype='uint8')).save(tmp_path/'pictures'/f'{"ab"[i % 2]}_{i:02}.png')
    return tmp_path/'pictures'


def from_files(vision, folder, names=None, label=lambda name: name[0]):
    "A learner on files, whose validation pictures are drawn from all there are"
    import torch
    vision.set_seed(1)
    dls = vision.ImageDataLoaders.from_name_func(folder, names or sorted(folder.iterdir()), label_func=label, seed=3,
                                                 bs=8, num_workers=0, device='cpu')
    learn = vision.Learner(dls, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(432, 2)), loss_func=vision.CrossEntropyLossFlat())
    learn.remove_cb(learn.progress)
    learn.logger = lambda row: None
    return learn


def test_other_pictures_are_refused(vision, pictures, tmp_path):
    "Added, gone, labelled otherwise, and in the other split: each is named in one line, before anything is trained"
    import shutil
    fit(from_files(vision, pictures), tmp_path/'out')
    fit(from_files(vision, pictures), tmp_path/'out', resume=True)
    held_back = from_files(vision, pictures).dls.valid_ds.items

    def refused(*said, **more):
        learn = from_files(vision, pictures, **more)
        before = weights(learn)
        with pytest.raises(NotesError, match=said[0]) as error: fit(learn, tmp_path/'out', resume=True)
        assert all(word in str(error.value) for word in said) and len(str(error.value).splitlines()) == 1
        assert weights(learn) == before

    refused('1 labelled otherwise', 'a_00.png', label=lambda name: 'b' if name == 'a_00.png' else name[0])
    refused('1 gone', 'b_39.png', names=[f for f in sorted(pictures.iterdir()) if f.name != 'b_39.png'])
    shutil.copy(pictures/'a_00.png', pictures/'a_99.png')
    refused('1 added', 'a_99.png')
    (pictures/'a_99.png').unlink()
    held_back[0].rename(pictures/'a_98.png')
    refused('1 added', '1 gone', held_back[0].name)


TERMINATED = TRAIN + """
import safetensors.torch
from fastbook_notes.models import checkpoints
here, write = Path(sys.argv[1]), checkpoints.save_file

def save_file(tensors, part, metadata):
    "Half of a file, then the signal"
    part.write_bytes(b'half')
    os.kill(os.getpid(), signal.SIGTERM)
    write(tensors, part, metadata)

checkpoints.save_file = save_file
train(here, False)
"""


@posix_only
def test_a_process_that_is_told_to_end_leaves_a_whole_checkpoint_and_nothing_else(tmp_path):
    import signal

    from safetensors import safe_open
    done = subprocess.run([sys.executable, '-c', TERMINATED, tmp_path], capture_output=True, text=True,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == -signal.SIGTERM, done.stderr[-2000:]
    assert [file.name for file in tmp_path.iterdir()] == ['checkpoint.safetensors']
    with safe_open(tmp_path/'checkpoint.safetensors', framework='pt') as stored:
        assert len(json.loads(stored.metadata()['state'])['measured']) == 1
