"Commands that write: a full disk, kill -9, two at a time, odd names; then what was there is there, and nothing is left behind."
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from conftest import ROOT, not_here, processes_with
from fastbook_notes.models.checkpoints import CHECKPOINT_FILE
from fastbook_notes.models.model_folder import load_model
from small_models import model, pets, small_learner, vision  # noqa: F401

pytestmark = pytest.mark.skipif(os.name == 'nt', reason='limits and kills as POSIX has them')
FULL = 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); '
CALL = 'import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); {}from fastbook_notes.cli import main; main()'
COMMANDS = {'lab': ['lab', 'mine', '--copy-only'], 'get': ['data', 'get', 'MNIST_SAMPLE'], 'check': ['data', 'check', 'pets', '--apply'],
            'undo': ['data', 'check', 'pets', '--undo']}
LIMITS = 0, 3000
TRIED = int(os.environ.get('FASTBOOK_NOTES_TEST_KILLS', 3 if os.environ.get('FASTBOOK_NOTES_TEST_THOROUGH') else 0)) # Times, each way


class Place:
    "A folder of a person's with pictures and a changed notebook, and what a command may write beside it"
    def __init__(self, folder, command):
        self.folder, self.words, self.begun = folder, COMMANDS[command], False
        (folder/'mine').mkdir(parents=True)
        for name in ('tmp', 'home'): (folder/name).mkdir()
        (folder/'mine'/'01_intro.ipynb').write_text('{"my": "notes"}')
        for i, name in enumerate(('a b.png', 'ü.png', '-x.png', "it's.png")):
            (folder/'pets'/'train'/'cat').mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype='uint8')).save(folder/'pets'/'train'/'cat'/name)
        for i in range(3): (folder/'pets'/'train'/'cat'/f'bad{i}.png').write_bytes(b'bad %d' % i)
        self.owned = self.contents()
        if command == 'undo': assert self.start(['data', 'check', 'pets', '--apply']).wait(60) == 0

    def contents(self): return {p.name: p.read_bytes() for sub in ('pets', 'mine') for p in (self.folder/sub).rglob('*') if p.is_file()}

    def start(self, words=None, limit=None):
        env = {**os.environ, 'TMPDIR': str(self.folder/'tmp'), 'HOME': str(self.folder/'home'),
               'MPLCONFIGDIR': str(ROOT/'.venv'/'matplotlib'), 'FASTBOOK_NOTES_CACHE': str(self.folder/'cache')}
        code = CALL.format('' if limit is None else FULL.format(limit))
        return subprocess.Popen([sys.executable, '-c', code, *(words or self.words)], cwd=self.folder, env=env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def age(self):
        "Let the seconds go by for which what is left may belong to a process that is just beginning"
        for left in self.folder.rglob('.*.part'): os.utime(left, (0, 0))

    def check(self, whole):
        "What was a person's is there, to the byte; after a command that could end, nothing else is"
        now = self.contents()
        assert {name: now.get(name) for name in self.owned} == self.owned
        if whole: assert [p for p in self.folder.rglob('*') if p.suffix in ('.part', '.lock') or p.name.startswith('.building')] == []
        if whole: assert list((self.folder/'tmp').iterdir()) == []
        assert list((self.folder/'home').iterdir()) == []


@pytest.mark.parametrize('limit', LIMITS)
@pytest.mark.parametrize('command', COMMANDS)
def test_a_full_disk(command, limit, tmp_path):
    "It is said in a line, unless there was room enough; with room, the same command goes on"
    place = Place(tmp_path/'here', command)
    process = place.start(limit=limit)
    said, wrong = process.communicate(timeout=120)
    assert process.returncode in (0, 2) and 'Traceback' not in wrong, wrong
    assert process.returncode == 0 or wrong.startswith('fastbook-notes: ') and len(wrong.splitlines()) == 1, wrong
    place.check(whole=True)
    again = place.start()
    said, wrong = again.communicate(timeout=120)
    assert again.returncode == 0 or 'was set aside here' in wrong, wrong
    place.check(whole=True)


@pytest.mark.parametrize('command', COMMANDS)
def test_killed(command, tmp_path, record_property):
    "At random times of its life; then the same command goes on, and clears away what was left"
    rng, trials = random.Random(6), 3
    for trial in range(trials):
        place = Place(tmp_path/f'{trial}', command)
        process = place.start()
        time.sleep(rng.uniform(0.5, 1.6))
        process.kill()
        process.communicate()
        place.check(whole=False)
        place.age()
        again = place.start()
        said, wrong = again.communicate(timeout=120)
        assert again.returncode == 0 or 'was set aside here' in wrong, wrong
        place.check(whole=True)
    record_property('figure', f'{command}: {trials} killed, {len(LIMITS)} with a full disk; 0 lost')


@pytest.mark.parametrize('command', ['get', 'check'])
def test_told_to_end(command, tmp_path):
    "At random times of its life; it cleans up"
    rng = random.Random(7)
    for trial in range(3):
        place = Place(tmp_path/f'{trial}', command)
        process = place.start()
        time.sleep(rng.uniform(0.5, 1.6))
        process.terminate()
        process.communicate(timeout=60)
        place.check(whole=True)


@pytest.mark.parametrize('command', COMMANDS)
def test_two_at_a_time(command, tmp_path):
    place = Place(tmp_path/'here', command)
    for process in [place.start(), place.start()]:
        said, wrong = process.communicate(timeout=120)
        assert process.returncode in (0, 1) or 'was set aside here' in wrong, wrong
        assert 'Traceback' not in wrong
    place.check(whole=True)


# ---- running a chapter, in a kernel of its own

SHORT = """
import sys
from pathlib import Path
from fastbook_notes import chapters
folder = Path(sys.argv.pop(1))
chapters.notebooks_folder = lambda: folder
from fastbook_notes.command import main
main()
"""
ENDS = {'full': None, 'killed': signal.SIGKILL, 'told to end': signal.SIGTERM, 'Ctrl-C': signal.SIGINT}


class Running(Place):
    "A folder with notes of a person's and what an earlier run wrote; a chapter of two cells that is to be run into it"
    def __init__(self, folder):
        self.folder, self.before = folder, {'04_mnist_basics.ipynb': '{"my": "run"}', '04_mnist_basics.html': '<p>mine'}
        for name in ('mine', 'tmp', 'home', 'notebooks'): (folder/name).mkdir(parents=True)
        for name, text in {**self.before, 'notes.txt': 'mine'}.items(): (folder/'mine'/name).write_text(text)
        cells = [nbformat.v4.new_code_cell(code) for code in ('print("begun")', 'import time; time.sleep(0.5)')]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder/'notebooks'/'04_mnist_basics.ipynb')

    def start(self, limit=None):
        env = {**os.environ, 'TMPDIR': str(self.folder/'tmp'), 'HOME': str(self.folder/'home'), 'IPYTHONDIR': str(self.folder/'ipython'),
               'MPLCONFIGDIR': str(ROOT/'.venv'/'matplotlib'), 'NOTES_RUN': str(self.folder)}
        code = 'import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); ' + ('' if limit is None else FULL.format(limit)) + SHORT
        return subprocess.Popen([sys.executable, '-c', code, str(self.folder/'notebooks'), 'run', '4', '--out', 'mine'], cwd=self.folder,
                                env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def check(self, clean, written):
        "Each file is the person's, or whole and new; nothing lies beside them, and no kernel is left"
        found = {file.name: file.read_text() for file in (self.folder/'mine').iterdir() if file.is_file()}
        assert found.keys() == {*self.before, 'notes.txt'} and found['notes.txt'] == 'mine'
        new = {name for name, text in self.before.items() if found[name] != text}
        for name in new: assert json.loads(found[name])['cells'] if name.endswith('.ipynb') else found[name].rstrip().endswith('</html>')
        assert not written or new == set(self.before)
        if clean: assert len(list((self.folder/'mine').iterdir())) == 3 and list((self.folder/'tmp').iterdir()) == []
        assert processes_with('NOTES_RUN', str(self.folder), 10) == []
        return len(new)


@pytest.mark.parametrize('how', ENDS)
def test_a_run_is_cut_short(how, tmp_path, record_property):
    "At random times of its life, or as the disk is full; then the same command runs"
    rng, trials, replaced = random.Random(9), 1 if how == 'full' else TRIED or 1, 0
    for trial in range(trials):
        place = Running(tmp_path/f'{trial}')
        process = place.start(limit=3000 if how == 'full' else None) # Enough for the notebook, and not for the page
        if how != 'full':
            time.sleep(rng.uniform(0.5, 5))
            process.send_signal(ENDS[how])
        said, wrong = process.communicate(timeout=120)
        assert 'Traceback' not in wrong and (how != 'full' or process.returncode in (1, 2)), wrong
        replaced += place.check(how != 'killed', False)
        assert how != 'full' or replaced == 1
        again = place.start()
        said, wrong = again.communicate(timeout=120)
        assert again.returncode == 0, wrong
        place.check(how != 'killed', True)
    record_property('figure', f'run, {how}: {trials} cut short, {replaced} files were whole and new; 0 lost')


# ---- commands that load a model, which takes seconds

HEAVY = {'predict': ['predict', 'model', 'images', '--out', 'mine/answers.csv'],
         'train': ['train', '1', '--data', '.', '--size', '32', '--epochs', '1', '--out', 'mine/model'],
         'convert': ['convert', 'learner.pkl', 'mine/model', '--i-trust-this-file']}


@pytest.fixture(scope='module')
def trained(small_learner, pets, model, tmp_path_factory):
    "Pictures, a model of them, and the same as fastai exports it"
    folder = tmp_path_factory.mktemp('trained')
    shutil.copytree(pets, folder/'images')
    shutil.copytree(model, folder/'model')
    small_learner.export(folder/'learner.pkl')
    return folder


class Models(Place):
    "Pictures, a model and a learner of a person's, with a table or a model that a command is to write"
    def __init__(self, folder, command, trained):
        self.folder, self.words = folder, HEAVY[command]
        shutil.copytree(trained, folder)
        for name in ('mine', 'tmp', 'home'): (folder/name).mkdir()
        (folder/'mine'/'notes.txt').write_text('mine')
        self.owned = self.contents()

    def contents(self):
        return {file.relative_to(self.folder).as_posix(): file.read_bytes() for file in self.folder.rglob('*')
                if file.is_file() and file.parts[len(self.folder.parts)] in ('images', 'model', 'learner.pkl')
                or file.name == 'notes.txt'}

    def result(self):
        "What is written is whole, whenever one looks: rows of pictures that were there, or a model that answers"
        table, model = self.folder/'mine'/'answers.csv', self.folder/'mine'/'model'
        if table.exists():
            rows, there = pd.read_csv(table), {p.name for p in (self.folder/'images').iterdir()}
            assert rows.file.is_unique and rows.notna().all(axis=None) and set(rows.file) <= there
            return len(rows)
        if model.exists() and not (model/CHECKPOINT_FILE).exists(): return len(load_model(model).vocab)
        return 0

    def ends(self, limit=None):
        process = self.start(limit=limit)
        said, wrong = process.communicate(timeout=200)
        assert process.returncode in (0, 2) and 'Traceback' not in wrong, wrong
        return process.returncode, wrong


@pytest.mark.slow
@pytest.mark.parametrize('command', HEAVY)
def test_a_command_that_loads_a_model_is_cut_short(command, trained, tmp_path, record_property):
    "By a full disk, by kill -9, by being told to end: what was there is there, what is written is whole, and the same command goes on"
    rng, whole = random.Random(8), {'predict': 40, 'train': 2, 'convert': 2}[command]
    place = Models(tmp_path/'full', command, trained)
    status, wrong = place.ends(limit=500)
    assert status == 2 and 'File too large' in wrong.splitlines()[-1], wrong
    place.check(whole=True)
    began = time.monotonic()
    assert place.ends()[0] == 0 and place.result() == whole
    took = time.monotonic() - began
    place.check(whole=True)
    for trial in range(TRIED):
        for how in (signal.SIGKILL, signal.SIGTERM):
            place = Models(tmp_path/f'{trial}{how}', command, trained)
            process = place.start()
            time.sleep(rng.uniform(0.3, 1)*took)
            process.send_signal(how)
            said, wrong = process.communicate(timeout=60)
            assert 'Traceback' not in wrong, wrong
            place.check(whole=how == signal.SIGTERM)
            assert place.result() <= whole
            place.age()
            assert place.ends()[0] == 0 and place.result() == whole
            place.check(whole=True)
    record_property('figure', f'{command}: {2*TRIED} cut short, 1 with a full disk; 0 lost')


def test_a_lock_is_held_by_one_and_leaves_no_file(tmp_path):
    "Eight processes count to 400 together, each time under the lock, whose file goes while others wait for it"
    from fastbook_notes.files import locked
    counter = tmp_path/'counter'
    counter.write_text('0')
    children = []
    for _ in range(8):
        if child := os.fork(): children.append(child)
        else:
            sys.stdout = open(os.devnull, 'w')
            for _ in range(50):
                with locked(counter): counter.write_text(str(int(counter.read_text()) + 1))
            os._exit(0)
    assert [os.waitpid(child, 0)[1] for child in children] == [0]*8
    assert counter.read_text() == '400' and list(tmp_path.iterdir()) == [counter]


def test_what_a_release_is_checked_for():
    "It is looked up for known weaknesses before it is published, and says what it installs; SECURITY.md says how to report"
    release = yaml.safe_load((ROOT/'.github'/'workflows'/'release.yaml').read_text())['jobs']
    steps = '\n'.join(json.dumps(step) for step in release['build']['steps'])
    assert steps.index('pip_audit --path') < steps.index('upload-artifact') and 'sbom.cdx.json' in release['announce']['steps'][-1]['run']
    assert 'How to report' in (ROOT/'SECURITY.md').read_text()


def test_only_parts_of_our_own_are_cleared_away(tmp_path):
    "What another program hides under a name that ends on .part stays, however old"
    from fastbook_notes.files import atomic_file
    theirs, ours = tmp_path/'.video.part', tmp_path/f'.{16*"a"}.part'
    for place in (theirs, ours):
        place.mkdir()
        (place/'thesis.txt').write_text('mine')
        os.utime(place, (0, 0))
    with atomic_file(tmp_path/'card.md') as part: part.write_text('new')
    assert sorted(place.name for place in tmp_path.iterdir()) == ['.video.part', 'card.md']


@pytest.mark.slow
def test_predict_writes_through_no_link(trained, tmp_path):
    place = Models(tmp_path/'here', 'predict', trained)
    (place.folder/'mine'/'answers.unreadable.csv').symlink_to('notes.txt')
    status, wrong = place.ends()
    assert status == 2 and 'is a link' in wrong.splitlines()[-1], wrong
    place.check(whole=True)


# ---- no cache

TRY = """
import json, sys
from fastbook_notes.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ['fastbook-notes', *words]
    try: status = main() or 0
    except SystemExit as e: status = e.code or 0
    print('ended', status, file=sys.stderr)
"""
WITHOUT_CACHE = {'data': 0, 'data get MNIST_SAMPLE': 2, 'data check images': 1, 'predict model images --out mine/a.csv': 0,
                 'predict cat_or_dog images --out mine/b.csv': 2, 'train 1 --data . --size 32 --epochs 1 --out mine/model': 0,
                 'train 5 --out mine/other': 2, 'run 3 --out mine': 2, 'app digit_pad': 2, 'app cleaner': 2,
                 'publish breeds --out mine/page': 2}


@pytest.mark.slow
@pytest.mark.parametrize('why', ['Not a directory', 'Permission denied'])
def test_without_a_cache(why, trained, tmp_path):
    "It can't be made below a file, or is read-only: what needs none works, and the rest says where it could be"
    place, privileges = Models(tmp_path/'here', 'predict', trained), []
    cache = place.folder/('home' if why == 'Permission denied' else 'learner.pkl')/'cache'
    cache.parent.chmod(0o555)
    if why == 'Permission denied' and os.geteuid() == 0: # Who may write everywhere, unless that is taken away
        if not shutil.which('setpriv'): not_here('root needs setpriv here')
        privileges = ['setpriv', '--bounding-set=-all', '--inh-caps=-all']
    env = {**os.environ, 'TMPDIR': str(place.folder/'tmp'), 'FASTBOOK_NOTES_CACHE': str(cache),
           'MPLCONFIGDIR': str(ROOT/'.venv'/'matplotlib')}
    words = json.dumps([words.split() for words in WITHOUT_CACHE])
    done = subprocess.run([*privileges, sys.executable, '-c', TRY, words], cwd=place.folder, env=env, capture_output=True, text=True)
    cache.parent.chmod(0o755)
    parts = re.split(r'ended (\d)\n', done.stderr)
    assert dict(zip(WITHOUT_CACHE, map(int, parts[1::2]))) == WITHOUT_CACHE and 'Traceback' not in done.stderr, done.stderr
    for (words, status), said in zip(WITHOUT_CACHE.items(), parts[::2]):
        if status == 2: assert f"can't be written ({why})" in said and 'set FASTBOOK_NOTES_CACHE' in said.splitlines()[-1], (words, said)
    place.check(whole=True)
