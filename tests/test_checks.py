"Data sets with everything wrong: what is found, what is moved, what is brought back, and what a kill on the way leaves."
import csv
import json
import os
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fastbook_notes.data.dataset_checks import check_dataset, unusable_reason, usable_pictures
from fastbook_notes.data.pictures import BadPicture, open_picture
from fastbook_notes.data.quarantine import LOG_FILE, QUARANTINE_FOLDER, move_files, quarantine, restore
from fastbook_notes.errors import NotesError
from odd_pictures import good_files, odd_inputs

KILLS = 100 # 300 take three times as long, and lost nothing either
posix_only = pytest.mark.skipif(os.name == 'nt', reason='needs links, pipes and kills as POSIX has them')


def picture(seed, size=(64, 48)):
    "Smooth colours that no other seed has"
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype='uint8')
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def make_pets(root, n=4):
    "A sound data set: two classes for training and for validation"
    for i, (split, kind) in enumerate((s, k) for s in ('train', 'valid') for k in ('cat', 'dog')):
        (root/split/kind).mkdir(parents=True)
        for j in range(n): picture(100*i + j).save(root/split/kind/f'{j}.png')
    return root


def contents(root):
    "Everything in a folder, with what it holds"
    files = [p for p in sorted(root.rglob('*')) if p.is_symlink() or p.is_file()]
    return {p.relative_to(root).as_posix(): os.readlink(p) if p.is_symlink() else p.read_bytes() for p in files}


def problems(root):
    return {(row.file, row.problem) for row in check_dataset(root).itertuples()}


def test_a_sound_set_has_no_problems(tmp_path):
    assert problems(make_pets(tmp_path/'pets')) == set()


@pytest.mark.parametrize('change', ['again as PNG', 'jpeg of quality 30', 'half as large', 'brighter', 'grey to RGB and back'])
def test_pictures_that_were_saved_again_are_found(tmp_path, change):
    root, original = make_pets(tmp_path/'pets'), picture(0)
    brighter = Image.fromarray((np.asarray(original)*0.8 + 40).astype('uint8'))
    changed = {'half as large': original.resize((32, 24)), 'brighter': brighter}.get(change, original)
    if change == 'jpeg of quality 30': changed.save(root/'valid'/'cat'/'new.jpg', quality=30)
    else: changed.save(root/'valid'/'cat'/'new.png', compress_level=1)
    assert problems(root) == {('train/cat/0.png', 'likely leak')}


def test_twins_with_different_labels_are_for_a_person(tmp_path):
    root = make_pets(tmp_path/'pets')
    shutil.copyfile(root/'train'/'cat'/'0.png', root/'train'/'dog'/'x.png')
    found = check_dataset(root)
    assert list(found.problem) == ['duplicate with another label'] and quarantine(root, found) == 0
    assert not (root/QUARANTINE_FOLDER).exists()


def test_the_copy_for_validation_stays(tmp_path):
    root = make_pets(tmp_path/'pets')
    for name in ('valid/cat/z.png', 'train/cat/z.png', 'train/cat/zz.png'): shutil.copyfile(root/'train'/'cat'/'0.png', root/name)
    assert problems(root) == {(f'train/cat/{name}.png', 'leak') for name in ('0', 'z', 'zz')}
    quarantine(root, check_dataset(root))
    assert problems(root) == set() and (root/'valid'/'cat'/'z.png').exists()


def make_scenes(root, rows):
    (root/'train').mkdir(parents=True)
    for i in range(6): picture(i).save(root/'train'/f'{i}.png')
    with (root/'train.csv').open('w', newline='') as file: csv.writer(file).writerows([['fname', 'labels', 'is_valid', 'note'], *rows])
    return root


def test_a_table_and_its_pictures(tmp_path):
    rows = [[f'{i}.png', 'cat dog', i > 3, 'a, "b"'] for i in range(5)]
    rows += [['gone.png', 'cat', False, ''], ['../../x.png', 'cat', False, ''], ['0.png', 'cat dog', False, 'again']]
    root = make_scenes(tmp_path/'scenes', rows)
    (tmp_path/'x.png').write_bytes(b'mine')
    assert problems(root) == {('train/5.png', 'picture without label'), ('train/gone.png', 'label without picture'),
                              ('train/../../x.png', 'label without picture'), ('train/0.png', 'table')}
    before = contents(root)
    findings = check_dataset(root)
    findings.loc[findings.file == 'train/../../x.png', 'aside'] = False
    quarantine(root, findings)
    with (root/'train.csv').open(newline='') as file: assert [row[3] for row in csv.reader(file)][:2] == ['note', 'a, "b"']
    assert (tmp_path/'x.png').read_bytes() == b'mine' and 'gone.png' not in (root/'train.csv').read_text()
    assert restore(root) == [] and contents(root) == before


def test_a_row_that_points_out_of_the_folder_moves_nothing_there(tmp_path):
    root = make_scenes(tmp_path/'scenes', [[f'{i}.png', 'cat dog', False, ''] for i in range(6)] + [['../../x.png', 'cat', False, '']])
    (tmp_path/'x.png').write_bytes(b'mine')
    quarantine(root, check_dataset(root))
    assert (tmp_path/'x.png').read_bytes() == b'mine'


@pytest.mark.parametrize('text, said', [('fname,labels\n0.png,cat\n', 'is_valid'), ('a\n', 'fname'), ('', 'fname'), ('\0\0', 'fname')])
def test_missing_columns_are_named(tmp_path, text, said):
    root = make_scenes(tmp_path/'scenes', [])
    (root/'train.csv').write_text(text)
    found = check_dataset(root)
    assert list(found.problem) == ['table'] and f'no column {said}' in found.detail[0] and 'its header is' in found.detail[0]


def test_a_row_without_a_name_moves_no_folder(tmp_path):
    rows = [[f'{i}.png', 'cat dog', i > 3, ''] for i in range(6)]
    root = make_scenes(tmp_path/'scenes', [*rows, ['', 'cat', False, ''], ['.', 'cat', False, '']])
    assert quarantine(root, check_dataset(root)) == 0 and len(list((root/'train').iterdir())) == 6


def test_classes_of_one_picture(tmp_path):
    root = make_pets(tmp_path/'pets')
    (root/'train'/'pug').mkdir()
    picture(99).save(root/'train'/'pug'/'1.png')
    assert problems(root) == {('train/pug/1.png', 'class of one picture')}


@pytest.mark.parametrize('make, said', [(lambda p: None, 'There is no folder'), (lambda p: p.mkdir(), 'There are no pictures'),
                                        (lambda p: p.write_text('x'), 'There is no folder')])
def test_what_is_no_data_set_is_refused(tmp_path, make, said):
    make(tmp_path/'x')
    with pytest.raises(NotesError, match=said): check_dataset(tmp_path/'x')


def spoil(root):
    "A sound set, with a bit of everything that is moved"
    make_pets(root)
    (root/'train'/'cat'/'empty.jpg').touch()
    (root/'train'/'cat'/'page.png').write_text('<html>')
    (root/'valid'/'dog'/'cut.png').write_bytes((root/'train'/'dog'/'1.png').read_bytes()[:200])
    shutil.copyfile(root/'train'/'dog'/'1.png', root/'valid'/'dog'/'leak.png')
    for i in range(3): shutil.copyfile(root/'valid'/'cat'/'1.png', root/'valid'/'cat'/f'copy{i}.png')
    return root


def test_aside_and_back_twice(tmp_path):
    root = spoil(tmp_path/'pets')
    before = contents(root)
    for _ in range(2):
        assert quarantine(root, check_dataset(root)) == 7 and check_dataset(root).empty
        (root/'train'/'cat'/'page.png').write_text('<html>again')
        assert quarantine(root, check_dataset(root)) == 1
        assert {(root/QUARANTINE_FOLDER/'train'/'cat'/name).read_text() for name in ('page.png', 'page~2.png')} == {'<html>', '<html>again'}
        assert restore(root) == ['train/cat/page.png'] and (root/QUARANTINE_FOLDER/'train'/'cat'/'page.png').read_text() == '<html>'
        (root/'train'/'cat'/'page.png').unlink()
        assert restore(root) == [] and contents(root) == before and not (root/QUARANTINE_FOLDER).exists()


def test_what_somebody_removed_from_aside_is_not_called_back(tmp_path):
    root = spoil(tmp_path/'pets')
    assert quarantine(root, check_dataset(root)) == 7
    (root/QUARANTINE_FOLDER/'train'/'cat'/'page.png').unlink()
    assert restore(root) == ['train/cat/page.png'] and not (root/QUARANTINE_FOLDER).exists()
    for start, end in (('cat/1', 'dog/9'), ('dog/9', 'dog/10')):
        move_files(root, [{'from': f'train/{start}.png', 'to': f'train/{end}.png', 'batch': end}])
    (root/'train'/'dog'/'10.png').unlink()
    assert restore(root) == ['train/cat/1.png']


def test_what_was_moved_on_since_is_not_forgotten(tmp_path):
    "A relabelled picture that is then set aside stays in the log, so that undoing everything takes it home"
    root = spoil(tmp_path/'pets')
    before = contents(root)
    move_files(root, [{'from': 'train/cat/1.png', 'to': 'train/dog/9.png', 'batch': 'one'}])
    move_files(root, [{'from': 'train/dog/9.png', 'to': f'{QUARANTINE_FOLDER}/train/dog/9.png', 'batch': 'two'}])
    assert restore(root, batch='one') == ['train/cat/1.png']
    assert restore(root) == [] and contents(root) == before


def test_a_file_in_the_place_of_a_folder_holds_up_only_what_was_in_it(tmp_path):
    root = spoil(tmp_path/'pets')
    (root/'train'/'bird').mkdir()
    (root/'train'/'bird'/'bad.png').write_text('none')
    aside = quarantine(root, check_dataset(root))
    (root/'train'/'bird').rmdir()
    (root/'train'/'bird').write_text('mine')
    assert aside == 8 and restore(root) == ['train/bird/bad.png']
    assert (root/'train'/'bird').read_text() == 'mine' and (root/QUARANTINE_FOLDER/'train'/'bird'/'bad.png').read_text() == 'none'


def test_two_files_can_not_become_one(tmp_path):
    root = spoil(tmp_path/'pets')
    before = contents(root)
    with pytest.raises(NotesError, match='Several files were to become train/x.png'):
        move_files(root, [{'from': f'train/cat/{i}.png', 'to': 'train/x.png', 'batch': 'b'} for i in (1, 2)])
    assert contents(root) == before


@posix_only
def test_odd_places_do_no_harm(tmp_path):
    root = spoil(tmp_path/'pets')
    os.mkfifo(root/'train'/'cat'/'pipe.jpg')
    (root/'train'/'cat'/'loop.jpg').symlink_to('loop.jpg')
    (root/'train'/'cat'/'nowhere.jpg').symlink_to('/nowhere')
    (root/'train'/'round').symlink_to(root)
    (root/'train'/'cat'/'folder.jpg').mkdir()
    assert quarantine(root, check_dataset(root)) == 10 and check_dataset(root)[lambda t: t.aside].empty
    restore(root)
    assert (root/'train'/'cat'/'loop.jpg').is_symlink() and (root/'train'/'cat'/'pipe.jpg').is_fifo()
    (tmp_path/'elsewhere').mkdir()
    (root/QUARANTINE_FOLDER).symlink_to(tmp_path/'elsewhere')
    with pytest.raises(NotesError, match='is a link'): quarantine(root, check_dataset(root))
    with pytest.raises(NotesError, match='nothing was set aside'): restore(root)
    assert not list((tmp_path/'elsewhere').iterdir())


@pytest.mark.parametrize('line', [
    '{"from": "../out.png", "to": "_set_aside/x"}', '{"from": "x", "to": "train/cat/0.png"}', '{"from": "/tmp/x", "to": "_set_aside/x"}',
    '{"from": "x", "to": "_set_aside/../train/cat/0.png"}', '{"from": 1, "to": "_set_aside/x"}', '[]', '7', '{}',
    '{"from": "_set_aside/y", "to": "_set_aside/x"}', '{"from": "", "to": "_set_aside/x"}', '{"from": "a\\u0000", "to": "_set_aside/x"}',
    '{"from": "out/x", "to": "_set_aside/x"}', '{"from": "x", "to": "_set_aside"}', '{"from": "x", "to": "_set_aside/./log.jsonl"}'])
def test_a_strangers_log_moves_nothing_out(tmp_path, line):
    root = make_pets(tmp_path/'pets')
    (root/QUARANTINE_FOLDER).mkdir()
    (root/QUARANTINE_FOLDER/'x').write_text('x')
    if os.name != 'nt': (root/'out').symlink_to(tmp_path)
    (root/QUARANTINE_FOLDER/'log.jsonl').write_text('\n{"half a li\n' + line + '\n')
    before = contents(tmp_path)
    with pytest.raises(NotesError, match='Line 3 of .* is not one that quarantine wrote'): restore(root)
    assert contents(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_that_is_closed_is_named(tmp_path):
    root = spoil(tmp_path/'pets')
    root.chmod(0o500)
    with pytest.raises(NotesError, match='make the folder writable'): quarantine(root, check_dataset(root))
    root.chmod(0o700)


def killed_at(n, work):
    "Whether a forked process was killed at its n-th operation on files, before it could finish its work"
    if (child := os.fork()) == 0:
        done = [0]

        def count(event, args):
            if event in ('open', 'os.rename', 'os.mkdir', 'os.rmdir', 'os.remove'):
                done[0] += 1
                if done[0] == n: os.kill(os.getpid(), 9)
        sys.addaudithook(count)
        try: work()
        except BaseException: os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -9)
    return code == -9


def outside(root):
    "What is in a data set, but for what was set aside"
    return {name: data for name, data in contents(root).items() if not name.startswith(QUARANTINE_FOLDER)}


def make_bad_scenes(root):
    "A data set with a table and six rows that have to go"
    make_scenes(root, [[f'{i}.png', 'cat dog', i > 3, ''] for i in range(6)] + [['gone.png', 'cat', False, '']])
    for i in range(5): (root/'train'/f'bad{i}.png').write_bytes(b'bad %d' % i)
    with (root/'train.csv').open('a') as file: file.writelines(f'bad{i}.png,cat,False,\n' for i in range(5))
    return root


@posix_only
@pytest.mark.slow
def test_killed_moves_lose_nothing(tmp_path, record_property):
    "Killed at any of their operations on files"
    root, rng, kills = make_bad_scenes(tmp_path/'scenes'), random.Random(3), 0
    before, findings, log = contents(root), check_dataset(root), root/QUARANTINE_FOLDER/LOG_FILE
    while kills < KILLS:
        kills += killed_at(rng.randrange(1, 40), lambda: quarantine(root, findings))
        if log.exists(): kills += killed_at(rng.randrange(1, 40), lambda: restore(root))
        assert set(before.values()) <= set(contents(root).values())
        if rng.random() < 0.3 and log.exists(): assert restore(root) == [] and outside(root) == before
    record_property('figure', f'Data sets: {kills} kills while files were set aside or brought back; none was lost')
    if log.exists(): restore(root)
    assert outside(root) == before


def with_full_disk(most, work):
    "What is said by a forked process in which no file can grow beyond so many bytes; '' if nothing"
    import resource
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        try: work()
        except NotesError as e: os.write(write, str(e).encode())
        os._exit(0)
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with os.fdopen(read, 'rb') as said: return said.read().decode()


@posix_only
@pytest.mark.parametrize('most', [0, 1, 50, 110, 111, 112, 113, 200, 333, 500])
def test_a_full_disk_loses_and_forgets_nothing(tmp_path, most):
    root = make_bad_scenes(tmp_path/'scenes')
    before, findings, said = contents(root), check_dataset(root), []
    assert 'File too large' in with_full_disk(most, lambda: quarantine(root, findings))
    assert set(before.values()) <= set(contents(root).values())
    quarantine(root, findings)
    assert not (root/'train'/'bad4.png').exists()
    assert restore(root, said.append) == [] and contents(root) == before
    assert all('is damaged; no file is left there' in line for line in said)


OLD_LOG = [{'from': f'train/cat/{i}.png', 'to': f'{QUARANTINE_FOLDER}/train/cat/{i}.png', 'why': 'no picture: it is empty'}
           for i in range(4)]
OLD_LINES = [json.dumps(entry) for entry in OLD_LOG]

# Logs as the version before left them, with the files that `restore` has to name
OLD_LOGS = {
    'whole': ('\n'.join(OLD_LINES) + '\n', 0, []),
    'without an end': ('\n'.join(OLD_LINES), 0, []),
    'half a line at the end': ('\n'.join([*OLD_LINES, OLD_LINES[0][:40]]), 1, []),
    'half a line glued to a whole one': ('\n'.join([OLD_LINES[0], OLD_LINES[1][:40] + OLD_LINES[1], *OLD_LINES[2:]]), 0, []),
    'a line that is lost': ('\n'.join([OLD_LINES[0], OLD_LINES[1][:40], *OLD_LINES[2:]]), 1, [OLD_LOG[1]['to']]),
    'a line of zeros': ('\n'.join([OLD_LINES[0], '\0'*90, *OLD_LINES[2:]]), 1, [OLD_LOG[1]['to']]),
    'nothing': ('', 0, [entry['to'] for entry in OLD_LOG]),
}


@pytest.mark.parametrize('name', OLD_LOGS)
def test_a_damaged_log_is_named_and_nothing_forgotten(tmp_path, name):
    log, damaged, left = OLD_LOGS[name]
    for entry in OLD_LOG:
        (tmp_path/entry['to']).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/entry['to']).write_text(entry['from'])
    (tmp_path/QUARANTINE_FOLDER/LOG_FILE).write_text(log)
    for expected in (damaged, 0):
        said = []
        assert restore(tmp_path, said.append) == left and len(said) == expected
        assert all('is damaged' in line for line in said)
        if not left: break
    assert left or contents(tmp_path) == {entry['from']: entry['from'].encode() for entry in OLD_LOG}
    assert {(tmp_path/name).read_text() for name in left} == {name.removeprefix(f'{QUARANTINE_FOLDER}/') for name in left}


@posix_only
def test_names_that_are_no_utf8(tmp_path, command):
    "They are checked, shown, set aside and brought back as any others"
    root = make_pets(tmp_path/'pets')
    odd = os.fsencode(root/'train'/'cat') + b'/caf\xe9_1.png'
    with open(odd, 'wb') as file: file.write(b'bad')
    (root/'train'/'dog'/'[red]two\nlines.png').write_bytes(b'bad')
    shutil.copyfile(root/'train'/'cat'/'0.png', odd[:-5] + b'2.png')
    found = check_dataset(root)
    assert set(found.problem) == {'not a picture', 'duplicate'}
    said = []
    assert len(usable_pictures(found.file.map(root.joinpath), said.append)) == 1 and '\\xe9_1.png' in said[0] and said[0].isprintable()
    with pytest.raises(NotesError) as error: usable_pictures([os.fsdecode(odd)])
    assert str(error.value).isprintable()
    done = command('data', 'check', root, PYTHONUTF8='0', LC_ALL='C.UTF-8', COLUMNS='200')
    assert done.returncode == 1 and 'caf\\xe9_1.png' in done.stdout
    assert '[red]two\\nlines.png' in done.stdout and not done.stderr
    done = command('data', 'check', root, '--apply')
    assert done.returncode == 0 and '3 files were moved' in done.stdout and not os.path.exists(odd)
    done = command('data', 'check', root, '--undo')
    assert done.returncode == 0 and 'Everything is back where it was' in done.stdout
    assert os.path.exists(odd) and not (root/QUARANTINE_FOLDER).exists()


@posix_only
def test_what_lies_behind_a_link_is_looked_at_and_stays(tmp_path):
    root = make_pets(tmp_path/'pets')
    (tmp_path/'elsewhere').mkdir()
    picture(77).save(tmp_path/'elsewhere'/'0.png')
    (tmp_path/'elsewhere'/'1.png').write_bytes(b'bad')
    (root/'train'/'cat'/'more').symlink_to(tmp_path/'elsewhere')
    found = check_dataset(root)
    assert ('train/cat/more/1.png', 'not a picture', False) in set(found[['file', 'problem', 'aside']].itertuples(index=False, name=None))
    assert quarantine(root, found) == 0 and (tmp_path/'elsewhere'/'1.png').exists()


def test_litter_is_not_looked_at(tmp_path):
    root = make_pets(tmp_path/'pets')
    for name in ('train/cat/._0.png', 'train/cat/.ipynb_checkpoints/0.png', '__MACOSX/train/cat/0.png', '_set_aside/train/cat/0.png',
                 '.git/0.png'):
        (root/name).parent.mkdir(parents=True, exist_ok=True)
        (root/name).write_bytes(b'bad')
    assert check_dataset(root).empty


@pytest.mark.slow
def test_what_is_left_out_is_what_cannot_be_opened(tmp_path):
    "Nothing that opens is left out, nothing that isn't there or is no picture gets through"
    for name, source in odd_inputs(tmp_path):
        if not isinstance(source, (str, Path)): continue
        reason = unusable_reason(source)
        try: open_picture(source)
        except BadPicture: assert reason, name
        else: assert not reason, name


def test_files_that_are_cut_are_left_out_cheaply(tmp_path):
    for name, data in good_files().items():
        (tmp_path/name).write_bytes(data)
        (tmp_path/f'cut_{name}').write_bytes(data[:int(0.6*len(data))])
    files = sorted(tmp_path.iterdir())
    said = []
    usable = usable_pictures(files, said.append)
    for file in files:
        try: open_picture(file)
        except BadPicture: assert file not in usable
        else: assert file in usable
    assert len(said) == 1 and 'Left out' in said[0] and '`fastbook-notes data check`' in said[0]
    assert usable_pictures(usable, said.append) == usable and len(said) == 1


@pytest.mark.slow
@pytest.mark.parametrize('ending', ['jpg', 'png', 'webp', 'gif', 'tif'])
def test_a_damaged_middle_is_found_before_training(tmp_path, ending):
    "Whatever training would stop at is left out, also where both ends of a file are whole"
    from fastbook_notes.data.pictures import training_picture
    rng, found = np.random.default_rng(0), 0
    for i in range(60):
        file = tmp_path/f'{i}.{ending}'
        picture(i, (160, 120)).save(file)
        data = bytearray(file.read_bytes())
        at = int(rng.integers(len(data)//4, len(data)*3//4))
        data[at:at + 40] = rng.integers(0, 256, 40, dtype='uint8').tobytes() if i%2 else b'\xff\xd9'*20
        file.write_bytes(data)
        reason = unusable_reason(file)
        found += bool(reason)
        if not reason: training_picture(file)
    assert found or ending == 'tif' # Its pixels are not packed


# ---- links that a stranger has put into a data set

@pytest.fixture
def strange(tmp_path):
    "A data set with a bad picture, beside a folder that is nobody else's business"
    (tmp_path/'ds'/'train').mkdir(parents=True)
    (tmp_path/'home').mkdir()
    (tmp_path/'home'/'diary').write_text('mine')
    (tmp_path/'ds'/'train'/'bad.png').write_bytes(b'bad')
    (tmp_path/'ds'/'_set_aside').mkdir()
    yield tmp_path/'ds'
    assert {p.name: p.read_text() for p in (tmp_path/'home').iterdir()} == {'diary': 'mine'}


BAD = pd.DataFrame([dict(file='train/bad.png', problem='unreadable', detail='', aside=True)])


@posix_only
def test_nothing_is_set_aside_through_a_linked_folder(strange):
    (strange/'_set_aside'/'train').symlink_to('../../home')
    with pytest.raises(NotesError, match='behind a link'): quarantine(strange, BAD)
    assert (strange/'train'/'bad.png').read_bytes() == b'bad'


@posix_only
@pytest.mark.parametrize('target', ['diary', 'new'])
def test_no_log_is_written_through_a_link(strange, target):
    (strange/'_set_aside'/'log.jsonl').symlink_to(f'../../home/{target}')
    with pytest.raises(NotesError, match='is a link'): quarantine(strange, BAD)
    with pytest.raises(NotesError, match='nothing was set aside'): restore(strange)
    assert (strange/'train'/'bad.png').read_bytes() == b'bad'


@posix_only
def test_nothing_is_brought_back_through_a_link_that_was(strange):
    "The log's first move puts a link into the data set, and its second would go through it"
    (strange/'_set_aside'/'link').symlink_to('../../home')
    (strange/'_set_aside'/'evil.desktop').write_text('evil')
    moves = [{'from': 'a/evil.desktop', 'to': '_set_aside/evil.desktop'}, {'from': 'a', 'to': '_set_aside/link'}]
    (strange/'_set_aside'/'log.jsonl').write_text(''.join(json.dumps(move) + '\n' for move in moves))
    assert restore(strange) == ['a/evil.desktop']
    assert (strange/'_set_aside'/'evil.desktop').read_text() == 'evil'
