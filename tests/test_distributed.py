"Two processes that train one model: what each saw, what they end with, and what is written."
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

SCRIPT = '''
import json, sys
from dataclasses import replace
from pathlib import Path
from fastai.vision.all import Callback
from fastbook_notes import train
from fastbook_notes.models import distributed
from fastbook_notes.models.distributed import this_process, weights_digest
from fastbook_notes.train import RECIPES, train_chapter

class Seen(Callback):
    order, epochs, digest = 100, [], None
    def before_train(self): self.epochs.append([])
    def before_batch(self):
        if self.training: self.epochs[-1] += [str(row) for row in self.x.sum(1).tolist()]
    def after_fit(self): self.digest = self.digest or weights_digest(getattr(self.model, 'module', self.model))

def cats(*args):
    learn = RECIPE.learner(*args)
    learn.add_cb(seen)
    return learn

RECIPE, seen, folder = RECIPES[1], Seen(), Path(sys.argv[1])
RECIPES[1] = replace(RECIPE, learner=cats)
process = this_process()
out = folder/f'model-{process.count}-{process.rank}'
about = train_chapter(1, folder, 'lite0', 4, out, size=64, processes=process.count)
found = dict(epochs=seen.epochs, digest=seen.digest, error=about['measured']['error_rate'])
(folder/f'seen-{process.count}-{process.rank}.json').write_text(json.dumps(found))
'''


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Reddish cats and bluish dogs, and a program that trains on them"
    folder, rng = tmp_path_factory.mktemp('several'), np.random.default_rng(0)
    (folder/'images').mkdir()
    for i in range(40):
        for name, colour in (('Birman', [170, 90, 90]), ('beagle', [90, 90, 170])):
            Image.fromarray(rng.normal(colour, 40, (48, 48, 3)).clip(0, 255).astype('uint8')).save(folder/'images'/f'{name}_{i}.png')
    (folder/'train.py').write_text(SCRIPT)
    return folder


def run(folder, *launcher):
    done = subprocess.run([sys.executable, *launcher, folder/'train.py', folder], capture_output=True, text=True, timeout=240, cwd=folder,
                          env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '',
                               'FASTBOOK_NOTES_CACHE': str(folder/f'cache-{len(launcher)}')})
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope='module')
def pair(folder):
    "What each of two processes saw and ended with, and what was said"
    done = run(folder, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2')
    return [json.loads((folder/f'seen-2-{rank}.json').read_text()) for rank in (0, 1)], done.stdout


def test_each_epoch_is_shared_out(pair):
    "All 64 training pictures, 32 each, none in both"
    for first, second in zip(*(process['epochs'] for process in pair[0]), strict=True):
        assert (len(first), len(second)) == (32, 32)
        assert len({*first, *second}) == 64


def test_epochs_differ(pair):
    first, second, *_ = pair[0][0]['epochs']
    assert set(first) != set(second)


def test_both_end_with_the_same_weights(pair):
    assert len({process['digest'] for process in pair[0]}) == 1
    assert len({process['error'] for process in pair[0]}) == 1


def test_only_the_first_writes(pair, folder):
    assert sorted(p.name for p in (folder/'model-2-0').iterdir()) == ['README.md', 'model.json', 'model.safetensors', 'validation.json']
    assert not (folder/'model-2-1').exists()
    assert pair[1].count('epoch 4 of 4') == 1


def test_the_result_is_that_of_one_process(pair, folder):
    run(folder)
    alone = json.loads((folder/'seen-1-0.json').read_text())
    assert abs(alone['error'] - pair[0][0]['error']) <= 0.1
    assert {*sum(alone['epochs'], [])} == {*sum((epoch for process in pair[0] for epoch in process['epochs']), [])}


def test_a_killed_training_goes_on(folder, tmp_path):
    "Killed in its second epoch: the first is kept, and the others follow"
    from fastbook_notes.errors import NotesError
    from fastbook_notes.train import train_chapter
    code = f'''
import os, signal
from fastbook_notes.train import train_chapter
def report(line):
    print(line, flush=True)
    if line.startswith('epoch 1'): os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))
train_chapter(1, {str(folder)!r}, epochs=3, out={str(tmp_path/"out")!r}, size=64, report=report)
'''
    killed = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=240, cwd=tmp_path,
                            env={**os.environ, 'FASTBOOK_NOTES_CACHE': str(folder/'cache-0')})
    assert killed.returncode not in (0, 1), killed.stderr
    assert sorted(p.name for p in (tmp_path/'out').iterdir()) == ['checkpoint.safetensors', 'training.json']
    with pytest.raises(NotesError, match='go on with --resume'): train_chapter(1, folder, epochs=3, out=tmp_path/'out', size=64)
    with pytest.raises(NotesError, match='epochs 3, not 4'): train_chapter(1, folder, epochs=4, out=tmp_path/'out', size=64, resume=True)
    said = []
    train_chapter(1, folder, epochs=3, out=tmp_path/'out', size=64, resume=True, report=said.append)
    assert [line.partition(':')[0] for line in said if line.startswith('epoch')] == ['epoch 2 of 3', 'epoch 3 of 3']
    assert sorted(p.name for p in (tmp_path/'out').iterdir()) == ['README.md', 'model.json', 'model.safetensors', 'validation.json']


def test_a_launcher_that_starts_one_process_for_two_is_noticed(tmp_path):
    "accelerate does, without a GPU; then the run stops before it loads anything"
    script = tmp_path/'train.py'
    script.write_text('from fastbook_notes.models.distributed import this_process\nprint(this_process())')
    done = subprocess.run([sys.executable, '-m', 'accelerate.commands.launch', '--cpu', '--num_processes', '2',
                           '--num_machines', '1', '--mixed_precision', 'no',
                           '--dynamo_backend', 'no', script], capture_output=True, text=True, timeout=240, cwd=tmp_path,
                           env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''})
    assert done.returncode != 0
    assert 'asked for several processes, but started only this one' in done.stderr
