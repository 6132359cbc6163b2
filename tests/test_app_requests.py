"What a browser sends is a request: hostile values for every trait and message of every widget, and moves that are cut short."
import io
import itertools
import json
import os
import random
import signal
import sys
import traceback

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fastbook_notes.apps.cleaner import Cleaner, cleaner_from_folders
from fastbook_notes.apps.digit_pad import DigitPad
from fastbook_notes.apps.line_pad import line_pad
from fastbook_notes.apps.picture_app import Desk, PictureApp
from fastbook_notes.apps.quiz import Question, Quiz
from fastbook_notes.data.pictures import BadPicture
from fastbook_notes.data.quarantine import last_batch, restore
from fastbook_notes.errors import NotesError

posix_only = pytest.mark.skipif(os.name == 'nt', reason='forks, kills and links as POSIX does')
WATCHED = {'folder': None, 'touched': []}


@sys.addaudithook
def watch(event, arguments):
    "Write down who opens, moves or removes anything in the watched folder"
    if WATCHED['folder'] and event in ('open', 'os.rename', 'os.remove', 'os.mkdir', 'os.listdir', 'os.scandir', 'shutil.move'):
        if any(WATCHED['folder'] in os.path.realpath(a) for a in arguments if isinstance(a, (str, os.PathLike))):
            WATCHED['touched'].append(event)


@pytest.fixture
def outside(tmp_path):
    "A folder with a picture that no widget may touch, and how it is reached from the data"
    secret = tmp_path/'outside'
    secret.mkdir()
    Image.new('RGB', (40, 30), 'red').save(secret/'secret.png')
    WATCHED.update(folder=os.path.realpath(secret), touched=[])
    yield secret
    WATCHED['folder'] = None
    assert WATCHED['touched'] == [] and [file.name for file in secret.iterdir()] == ['secret.png']


@pytest.fixture
def pets(tmp_path):
    "A data set of two classes, and its table as the model would make it"
    rows = []
    for i in range(12):
        label = 'cat' if i % 2 else 'dog'
        (tmp_path/'pets'/label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 20, 3), 20*i, 'uint8')).save(tmp_path/'pets'/label/f'{i}.png')
        rows.append((f'{label}/{i}.png', label, 'cat', float(12 - i), 'train'))
    return pd.DataFrame(rows, columns=['file', 'label', 'prediction', 'loss', 'split'])


class Guide:
    "A model that likes every picture"
    about, table, threshold, looked, samples = 'A model.', None, 0.5, False, ()

    def answer(self, picture): return dict(headline='cat', bars=[('cat', 1.)]), [picture]


def widgets(pets, folder):
    halves = Question('1/2?', ('0.5', 'Yes.'), (('2', 'No.'), ('1', 'Nor this.')))
    models = {('3 or 7', 'LinearModel'): ([(np.zeros((784, 1)), np.zeros(1))], 0.9)}
    return [Cleaner(pets, folder/'pets', move=True), DigitPad(models), line_pad(),
            PictureApp('Cat or dog', Desk(Guide)), Quiz('one', halves)]


def nested(depth):
    made = []
    for _ in range(depth): made = [made]
    return made


def hostile(outside):
    "Paths, links, huge, nested and of the wrong type"
    paths = ['/etc/passwd', str(outside/'secret.png'), '../outside/secret.png', 'cat/../../outside/secret.png', '.', '..', '', 'a\0b',
             'cat/1.png', '_set_aside/log.jsonl', '\ud800', 'C:\\Windows\\win.ini', '<script>alert(1)</script>']
    others = [None, True, -1, 0, 10**400, 1e308, float('nan'), b'', b'x'*784, memoryview(b'x'*10), 'x'*10**6, [], {},
              nested(500), [paths], {'': {}}]
    rows = [[{'file': path, 'label': 'cat', 'prediction': 'cat', 'loss': 1., 'split': 'train'}] for path in paths]
    marks = [{path: mark} for path in paths for mark in ({'decision': 'remove'}, {'decision': 'relabel', 'label': '../../outside'},
             {'decision': 'relabel', 'label': str(outside)}, {'decision': 'relabel'}, {'decision': 'fly'}, 7, None, [])]
    return [*paths, *others, *rows, *marks, {path: 10**9 for path in paths}]


def contents(folder): return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob('*') if file.is_file()}


def send(widget, data, buffers=()): widget._handle_msg({'content': {'data': data}, 'buffers': list(buffers)})


def test_no_value_of_a_trait_is_believed(pets, tmp_path, outside, record_property):
    "Each of them for each trait of each widget, also one that isn't synced, or isn't there; what was asked for and makes sense is taken"
    before, tried = contents(tmp_path/'pets'), 0
    for widget in widgets(pets, tmp_path):
        asked = widget.traits(asked=True).keys()
        kept = {name: getattr(widget, name) for name in widget.keys if name not in asked}
        for name in [*widget.traits(), '_folder', '_move', 'no_such_trait', '__class__']:
            for value in hostile(outside):
                tried += 1
                send(widget, {'method': 'update', 'state': {name: value}, 'buffer_paths': []})
        assert {name: getattr(widget, name) for name in kept} == kept
    cleaner, pad, line, _, quiz = widgets(pets, tmp_path)
    for widget, name, good in ((cleaner, 'marks', {'cat/1.png': {'decision': 'relabel', 'label': 'dog'}}),
                               (pad, 'drawn', memoryview(bytes([7])*784)),
                               (line, 'w', 2.5), (line, 'y', [1.5]*40), (quiz, 'answers', {quiz.questions[0]['id']: 2})):
        send(widget, {'method': 'update', 'state': {name: good}, 'buffer_paths': []})
        assert getattr(widget, name) == good
    assert contents(tmp_path/'pets') == before
    record_property('figure', f'Apps: {tried:,} hostile values sent for traits; none was taken')


def test_no_message_reaches_beyond_the_folder(pets, tmp_path, outside, record_property):
    "Messages of every kind with everything in them, and out of order; the widget answers the next one as ever"
    before, tried = contents(tmp_path/'pets'), 0
    for widget in widgets(pets, tmp_path):
        widget.send = lambda content, buffers=None: None
        for kind, name, value in itertools.product(['thumbs', 'apply', 'undo', 'hello', 'picture', 'sample', 'fly', None, [], 7],
                                                   ['files', 'index', 'id', 'kind'], hostile(outside)):
            tried += 1
            content = {'kind': kind, name: [value] if name == 'files' and isinstance(value, str) else value}
            send(widget, {'method': 'custom', 'content': content}, [memoryview(b'GIF89a'), memoryview(b'')][:tried % 3])
        for data in (None, [], 'x', {'method': 'update', 'state': 7}, {'method': 'custom'}, {'method': 'custom', 'content': nested(500)}):
            send(widget, data)
    assert contents(tmp_path/'pets') == before
    cleaner, _, _, app, _ = widgets(pets, tmp_path)
    heard = []
    for widget in (cleaner, app): widget.send = lambda content, buffers=None: heard.append((content['kind'], buffers))
    send(cleaner, {'method': 'custom', 'content': {'kind': 'thumbs', 'files': ['cat/1.png', '../outside/secret.png']}})
    send(app, {'method': 'custom', 'content': {'kind': 'picture', 'id': 1}}, [memoryview((tmp_path/'pets/cat/1.png').read_bytes())])
    assert [kind for kind, _ in heard] == ['thumbs', 'answer'] and [len(thumb) > 0 for thumb in heard[0][1]] == [True, False]
    record_property('figure', f'Apps: {tried:,} hostile messages; nothing outside the folder was read or moved')


@posix_only
def test_no_link_leads_out(pets, tmp_path, outside):
    "Linked pictures are data, and are shown; a linked class or quarantine is not followed by a move"
    folder = tmp_path/'pets'
    WATCHED['folder'] = None
    (folder/'bird').symlink_to(outside)
    cleaner = Cleaner(pd.concat([pets,
                                 pd.DataFrame([('bird/secret.png', 'bird', 'cat', 9., 'train')], columns=pets.columns)]), folder, move=True)
    for file, mark in (('bird/secret.png', {'decision': 'remove'}), ('cat/1.png', {'decision': 'relabel', 'label': 'bird'})):
        cleaner.marks = {file: mark}
        with pytest.raises(NotesError, match='is not inside'): cleaner.apply()
    (folder/'_set_aside').symlink_to(outside)
    cleaner.marks = {'cat/1.png': {'decision': 'remove'}}
    with pytest.raises(NotesError): cleaner.apply()
    (folder/'_set_aside').unlink()
    (folder/'bird').unlink()


def test_a_strangers_log_moves_nothing_out(pets, tmp_path, outside):
    "A data set may come with a log that claims to be the cleaner's"
    folder = tmp_path/'pets'
    (folder/'_set_aside').mkdir()
    row = {'file': '../outside/secret.png', 'label': 'cat', 'prediction': 'cat', 'loss': 1., 'split': 'train'}
    for change in ({'from': '../outside/x.png', 'to': 'cat/1.png'}, {'from': 'x.png', 'to': '../outside/secret.png'},
                   {'from': 'x.png', 'to': 'cat/1.png', 'row': row, 'mark': 7}, {'from': 'x.png', 'to': 'cat/1.png', 'row': 7, 'mark': {}},
                   {'from': '_set_aside/log.jsonl', 'to': 'cat/1.png', 'row': row, 'mark': {'decision': 'remove'}}):
        (folder/'_set_aside'/'log.jsonl').write_text(json.dumps({'batch': 'a', **change}) + '\n')
        cleaner, before = Cleaner(pets, folder, move=True), contents(folder)
        cleaner.send = lambda content, buffers=None: None
        send(cleaner, {'method': 'custom', 'content': {'kind': 'undo'}})
        send(cleaner, {'method': 'custom', 'content': {'kind': 'thumbs', 'files': ['../outside/secret.png']}})
        assert sorted(contents(folder).values()) == sorted(before.values()) or 'x.png' in contents(folder)
        if (folder/'x.png').exists(): (folder/'x.png').rename(folder/'cat'/'1.png')
        (folder/'_set_aside').mkdir(exist_ok=True)


# ---- nothing is lost

def in_child(work):
    "Run something in a forked process, and return its status"
    child = os.fork()
    if child: return os.waitpid(child, 0)[1]
    try: work()
    except NotesError: os._exit(2)
    except BaseException:
        traceback.print_exc()
        os._exit(3)
    os._exit(0)


def change_everything(pets, folder):
    cleaner = Cleaner(pets, folder, move=True)
    cleaner.marks = {file: {'decision': 'remove'} if i % 2 else {'decision': 'relabel', 'label': 'cat' if label == 'dog' else 'dog'}
                     for i, (file, label) in enumerate(zip(pets.file, pets.label))}
    cleaner.apply()


KILLS = 100


@pytest.mark.slow
@posix_only
def test_killed_changes_can_be_undone(pets, tmp_path, record_property):
    "Killed at any operation on a file, of applying as well as of undoing; another visit takes everything back"
    folder, rng, kills, halfway = tmp_path/'pets', random.Random(4), 0, 0
    before = contents(folder)

    def killed_at(n, work):
        done = [0]

        def count(event, arguments):
            if event in ('open', 'os.rename', 'os.mkdir', 'os.remove', 'os.rmdir') and str(folder) in str(arguments[0]):
                done[0] += 1
                if done[0] == n: os.kill(os.getpid(), signal.SIGKILL)

        def run():
            sys.addaudithook(count)
            work()
        return os.WIFSIGNALED(in_child(run))

    while kills < KILLS:
        kills += killed_at(rng.randrange(1, 40), lambda: change_everything(pets, folder))
        halfway += contents(folder).keys() != before.keys()
        assert sorted(content for name, content in contents(folder).items() if '.png' in name) == sorted(before.values())
        again = Cleaner(pets, folder, move=True)
        if again.undoable: kills += killed_at(rng.randrange(1, 20), again.undo)
        again = Cleaner(pets, folder, move=True)
        while again.undoable: again.undo()
        if (folder/'_set_aside'/'log.jsonl').exists(): restore(folder, report=str)
        assert {name: content for name, content in contents(folder).items() if not name.startswith(('.', '_set_aside/.'))} == before
    assert halfway
    record_property('figure', f'Cleaner: {kills} kills while changes were applied or undone, {halfway} of them halfway; 0 lost')


@posix_only
@pytest.mark.parametrize('most', [0, 1, 500, 1500])
def test_a_full_disk_moves_nothing(pets, tmp_path, most):
    "No file may grow beyond some bytes, as when the disk is full"
    folder, before = tmp_path/'pets', contents(tmp_path/'pets')

    def work():
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        change_everything(pets, folder)
    assert os.waitstatus_to_exitcode(in_child(work)) == 2
    assert {name: content for name, content in contents(folder).items() if '.png' in name} == before
    assert last_batch(folder) == []


def test_two_visitors_of_one_folder(pets, tmp_path):
    "What the first moved, the second can't move again, but it can take it back"
    folder, before = tmp_path/'pets', contents(tmp_path/'pets')
    first, second = Cleaner(pets, folder, move=True), Cleaner(pets, folder, move=True)
    first.marks = second.marks = {'cat/1.png': {'decision': 'remove'}, 'dog/2.png': {'decision': 'relabel', 'label': 'cat'}}
    assert first.apply() == 2
    with pytest.raises(NotesError, match='nothing was moved'): second.apply()
    second.undo()
    assert contents(folder) == before and not (folder/'_set_aside').exists()
    with pytest.raises(NotesError, match='nothing to undo'): first.undo()


@pytest.mark.parametrize('name',
                         ['a b.png', 'ü 猫.png', '-rf.png', "it's.png", '~x.png', 'a;b&c.png', pytest.param('a\nb.png', marks=posix_only)])
def test_odd_names_go_and_come_back(pets, tmp_path, name):
    folder = tmp_path/'pets'
    (folder/'cat'/'1.png').rename(folder/'cat'/name)
    before, table = contents(folder), pets.assign(file=pets.file.replace('cat/1.png', f'cat/{name}'))
    for mark in ({'decision': 'remove'}, {'decision': 'relabel', 'label': 'dog'}):
        cleaner = Cleaner(table, folder, move=True)
        cleaner.marks = {f'cat/{name}': mark}
        cleaner.apply()
        assert not (folder/'cat'/name).exists()
        Cleaner(table, folder, move=True).undo()
        assert contents(folder) == before


@pytest.mark.parametrize('spelled', ['./pets', 'pets/', 'pets/../pets', './/pets/.'])
def test_a_folder_spelled_otherwise_with_apostrophes_in_it(pets, tmp_path, monkeypatch, spelled):
    "Files are told and moved by the same names; a class and a file with an apostrophe are like any others"
    monkeypatch.chdir(tmp_path)
    folder, here = tmp_path/'pets', pets.file.str.replace('cat/', "cat's/").replace("cat's/1.png", "cat's/it's.png")
    (folder/'cat').rename(folder/"cat's")
    (folder/"cat's"/'1.png').rename(folder/"cat's"/"it's.png")
    table, before = pets.assign(file=here, label=pets.label.str.replace('cat', "cat's")), contents(folder)
    monkeypatch.setattr('fastbook_notes.apps.cleaner.kept_losses', lambda files, labels, names: table[table.file.isin(names)])
    cleaner = cleaner_from_folders(spelled)
    assert set(cleaner.table.file) == set(here) == {file for file in before}
    cleaner.marks = {"cat's/it's.png": {'decision': 'remove'}, 'dog/2.png': {'decision': 'relabel', 'label': "cat's"}}
    assert cleaner.apply() == 2 and {"_set_aside/cat's/it's.png", "cat's/2.png"} <= contents(folder).keys()
    cleaner_from_folders(spelled).undo()
    assert contents(folder) == before


def test_a_table_whose_names_begin_with_a_dot(pets, tmp_path):
    "As `find .` writes them"
    folder = tmp_path/'pets'
    before, table = contents(folder), pets.assign(file='./' + pets.file)
    for mark in ({'decision': 'remove'}, {'decision': 'relabel', 'label': 'dog'}):
        cleaner = Cleaner(table, folder, move=True)
        cleaner.marks = {'./cat/1.png': mark}
        assert cleaner.apply() == 1 and not (folder/'cat'/'1.png').exists() and len(contents(folder)) >= len(before)
        Cleaner(table, folder, move=True).undo()
        assert contents(folder) == before


def test_a_reloaded_page_can_undo(pets, tmp_path, monkeypatch):
    "The rows that come back are those that were there, in their order"
    folder = tmp_path/'pets'
    monkeypatch.setattr('fastbook_notes.apps.cleaner.kept_losses', lambda files, labels, names: pets[pets.file.isin(names)])
    first = cleaner_from_folders(folder)
    first.marks = {'cat/1.png': {'decision': 'remove'}, 'dog/2.png': {'decision': 'remove'}}
    first.apply()
    again = cleaner_from_folders(folder)
    assert again.undoable and len(again.rows) == 10
    again.undo()
    assert again.rows == cleaner_from_folders(folder).rows and again.marks == dict.fromkeys(['cat/1.png', 'dog/2.png'],
        {'decision': 'remove'})


def test_a_desk_answers_after_a_bad_picture():
    class Picky(Guide):
        def answer(self, picture): raise BadPicture('', 'it is odd', 'take another')
    desk = Desk(Picky)
    png = io.BytesIO()
    Image.new('1', (9, 9)).save(png, 'PNG')
    for picture in (None, b'', b'GIF89a', bytes(9_000_000), png.getvalue()):
        assert desk.answer({'kind': 'picture'}, picture)[0]['kind'] == 'problem'
    assert desk.answer({'kind': 'sample', 'index': 3})[0]['kind'] == 'problem'
    assert desk.answer({'kind': 'hello'})[0]['kind'] == 'ready'
