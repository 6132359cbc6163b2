"The command, as a person meets it: what it lists, what it copies, and how it says no."
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT
from fastbook_notes.data.datasets import get_dataset
from fastbook_notes.errors import NotesError
from fastbook_notes.files import atomic_file

posix_only = pytest.mark.skipif(os.name == 'nt', reason='needs POSIX permissions and limits')


def says_no(done, *words):
    "One line on stderr that says what and how to mend it, status 2, and no traceback"
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and 'Traceback' not in done.stdout + done.stderr, done.stderr
    for word in words: assert word in lines[0], (word, lines[0])


def test_help_names_the_commands(command):
    done = command('--help')
    assert done.returncode == 0
    for name in ('run', 'lab', 'data'): assert name in done.stdout
    assert 'store' not in done.stdout


@pytest.mark.parametrize('words, said', [
    (['run', 'mnist_basic'], ['mnist_basic', 'did you mean mnist_basics']),
    (['run', '9'], ['There is no chapter 9', '4 mnist_basics']),
    (['data', 'get', 'PEST'], ['did you mean PETS']),
    (['data', 'get', 'CIFAR'], ['CIFAR', 'PETS']),
    (['data', 'get', 'PETS', '--size', 'huge'], ['huge', 'sample or full']),
    (['run', '4', '--data', 'nowhere'], ['There is no folder', 'nowhere']),
])
def test_wrong_names_are_met_with_the_right_ones(command, words, said):
    says_no(command(*words), *said)


@pytest.mark.parametrize('words', [['run', '--nonsense'], ['data', 'get'], ['nonsense']])
def test_usage_errors_are_typers(command, words):
    done = command(*words)
    assert done.returncode == 2 and 'Traceback' not in done.stderr and 'Usage' in done.stderr


def layouts(root):
    "Folders that are wrong in one way each, with the chapter that is asked for and what is said"
    (root/'empty').mkdir()
    yield 'empty', '1', 'pictures in images/'
    (root/'names'/'images').mkdir(parents=True)
    (root/'names'/'images'/'holiday.jpg').write_bytes(b'')
    yield 'names', '5', 'Birman_12.jpg'
    (root/'digits'/'train'/'3').mkdir(parents=True)
    (root/'digits'/'train'/'3'/'1.png').write_bytes(b'')
    yield 'digits', '4', 'train/7'
    (root/'table'/'train').mkdir(parents=True)
    (root/'table'/'train.csv').write_text('fname,labels\n1.jpg,cat\n')
    yield 'table', '6', 'is_valid'
    (root/'absent'/'train').mkdir(parents=True)
    (root/'absent'/'train.csv').write_text('fname,labels,is_valid\n1.jpg,cat,True\n')
    yield 'absent', '6', '1.jpg'


def test_a_folder_in_the_wrong_layout_is_refused(command, tmp_path):
    for folder, chapter, said in list(layouts(tmp_path)):
        done = command('run', chapter, '--data', folder)
        says_no(done, folder, said)
        assert not (tmp_path/'_run').exists()


def test_a_file_is_no_data_folder(command, tmp_path):
    (tmp_path/'pets.zip').write_bytes(b'')
    says_no(command('run', '1', '--data', 'pets.zip'), 'pets.zip')


def test_a_broken_archive_is_refused(command, tmp_path, cache):
    (tmp_path/'mnist_sample.tgz').write_bytes(b'not an archive')
    says_no(command('run', '4', '--data', tmp_path), 'mnist_sample.tgz', 'unpack')
    assert not list(cache.rglob('.*.part'))


@posix_only
@pytest.mark.skipif(hasattr(os, 'geteuid') and os.geteuid() == 0, reason='root may write anywhere')
def test_an_unwritable_cache_is_named(command, tmp_path):
    locked = tmp_path/'locked'
    locked.mkdir(mode=0o500)
    says_no(command('data', 'get', 'MNIST_SAMPLE', FASTBOOK_NOTES_CACHE=str(locked)), 'locked', 'FASTBOOK_NOTES_CACHE')


@pytest.mark.slow
def test_a_cache_that_is_a_file_is_named(command, tmp_path):
    (tmp_path/'taken').write_text('mine')
    says_no(command('data', 'get', 'MNIST_SAMPLE', FASTBOOK_NOTES_CACHE=str(tmp_path/'taken')), 'taken', 'FASTBOOK_NOTES_CACHE')
    assert (tmp_path/'taken').read_text() == 'mine'


NO_HOME = '''
import pwd, sys
def nobody(uid): raise KeyError(f'getpwuid(): uid not found: {uid}')
pwd.getpwuid = nobody
from fastbook_notes.cli import main
main()
'''


@pytest.fixture
def homeless(tmp_path):
    "Runs `fastbook-notes` as a user who has no home directory"
    def run(*words, **env):
        env = {**{k: v for k, v in os.environ.items() if k not in ('HOME', 'FASTAI_HOME', 'FASTBOOK_NOTES_CACHE', 'XDG_CACHE_HOME')}, **env}
        return subprocess.run([sys.executable, '-c', NO_HOME, *words], capture_output=True, text=True, encoding='utf-8',
                              cwd=tmp_path, env=env)
    return run


@pytest.mark.slow
@posix_only
def test_without_a_home_there_are_data_sets_if_the_cache_is_named(homeless, cache):
    listed = homeless('data', FASTBOOK_NOTES_CACHE=str(cache))
    assert listed.returncode == 0 and 'Traceback' not in listed.stderr and 'MNIST_SAMPLE' in listed.stdout, listed.stderr
    got = homeless('data', 'get', 'MNIST_SAMPLE', FASTBOOK_NOTES_CACHE=str(cache))
    assert got.returncode == 0 and got.stdout.strip().splitlines()[-1].startswith(str(cache)), got.stderr


@posix_only
@pytest.mark.parametrize('words', [['data'], ['data', 'get', 'MNIST_SAMPLE'], ['data', 'get', 'MNIST_SAMPLE', '--size', 'full']])
def test_without_a_home_or_a_cache_one_line_says_so(homeless, words):
    says_no(homeless(*words), 'no home directory', 'FASTBOOK_NOTES_CACHE')


@posix_only
@pytest.mark.parametrize('folder', ['~nobody-of-this-name/pets', '~/pets', 'a'*300, 'a\0b'])
def test_a_folder_that_no_system_has_is_refused(command, homeless, cache, folder):
    if '\0' in folder:
        with pytest.raises(NotesError, match='There is no folder'): get_dataset('PETS', folder)
    else: says_no(homeless('run', '1', '--data', folder, FASTBOOK_NOTES_CACHE=str(cache)), folder[-4:])


FULL_DISK = '''
import errno, pathlib, sys
from PIL import Image
from fastbook_notes.cli import main
save, left = Image.Image.save, [20]
def full(self, file, *args, **kwargs):
    left[0] -= 1
    if left[0] < 0: raise OSError(errno.ENOSPC, 'No space left on device', str(file))
    return save(self, file, *args, **kwargs)
Image.Image.save = full
main()
'''


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    cache = tmp_path/'cache'
    done = subprocess.run([sys.executable, '-c', FULL_DISK, 'data', 'get', 'PETS'], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, 'FASTBOOK_NOTES_CACHE': str(cache)})
    says_no(done, 'No space left')
    assert [p for p in cache.rglob('*') if p.is_file() and p.suffix != '.lock'] == [] and not list(cache.rglob('.*.part'))


FULL_OUT = '''
import errno, pathlib
from fastbook_notes import chapters
from fastbook_notes.cli import main
replace = pathlib.Path.replace
def full(self, target):
    if str(target).endswith('.html'): raise OSError(errno.ENOSPC, 'No space left on device', str(target))
    return replace(self, target)
pathlib.Path.replace = full
chapters.execute = lambda notebook, name, *rest: chapters.Run(name, 0.)
main()
'''


@pytest.mark.slow
def test_a_disk_that_fills_while_pages_are_written(tmp_path, cache):
    done = subprocess.run([sys.executable, '-c', FULL_OUT, 'run', '3'], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, 'FASTBOOK_NOTES_CACHE': str(cache)})
    assert done.returncode == 2 and 'No space left' in done.stderr.splitlines()[-1] and 'Traceback' not in done.stderr
    assert sorted(p.name for p in (tmp_path/'_run').iterdir()) == ['03_ethics.ipynb']


def test_full_without_network_says_what_was_tried(command, cache, blocked_network):
    done = command('data', 'get', 'MNIST_SAMPLE', '--size', 'full', HOME=str(cache), **blocked_network.environment)
    says_no(done, 'mnist_sample.tgz', 'sample', 'network')
    assert not list(cache.rglob('*.part*')) and not list(cache.rglob('*.tgz'))


def test_data_lists_and_gets(command, cache):
    done = command('data', 'get', 'MNIST_SAMPLE')
    assert done.returncode == 0, done.stderr
    folder = done.stdout.strip().splitlines()[-1]
    assert len(list(cache.glob('sample/mnist_sample-*/*/*/*.png'))) == 1000
    listed = command('data')
    assert listed.returncode == 0 and 'Traceback' not in listed.stderr
    for name in ('MNIST_SAMPLE', 'PETS', 'PASCAL_2007', 'drawn', 'lite0', 'Apache-2.0'): assert name in listed.stdout
    assert str(cache) in listed.stdout and 'CC BY-SA' in listed.stdout and folder.startswith(str(cache))


def test_lab_copies_and_never_overwrites(command, tmp_path):
    assert command('lab', 'notes', '--copy-only').returncode == 0
    chapter = tmp_path/'notes'/'04_mnist_basics.ipynb'
    assert chapter.read_bytes() == (ROOT/'nbs'/'04_mnist_basics.ipynb').read_bytes()
    chapter.write_text('mine')
    again = command('lab', 'notes', '--copy-only')
    assert again.returncode == 0 and '04_mnist_basics' in again.stdout
    assert chapter.read_text() == 'mine'


def test_lab_in_an_unusable_folder(command, tmp_path):
    (tmp_path/'notes').write_text('mine')
    says_no(command('lab', 'notes', '--copy-only'), 'notes', 'another folder')


@pytest.mark.slow
def test_a_chapter_that_fails_is_named_and_the_others_run(tmp_path, cache):
    "Run from a package whose chapter 3 is broken, and whose chapters are short"
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook
    package = tmp_path/'site'/'fastbook_notes'
    shutil.copytree(ROOT/'fastbook_notes', package, ignore=shutil.ignore_patterns('__pycache__'))
    (package/'notebooks').mkdir()
    for name, source in (('03_ethics', 'x = 1\n1/0'),
                         ('04_mnist_basics',
                          "from fastbook_notes.chapters import ChapterResult\nChapterResult('d', 'm', 'accuracy', 0.5)")):
        nbformat.write(new_notebook(cells=[new_code_cell('a = 1'), new_code_cell(source)]), package/'notebooks'/f'{name}.ipynb')
    done = subprocess.run([sys.executable, '-c', 'from fastbook_notes.cli import main; main()', 'run', '3', '4'],
                          capture_output=True, text=True, encoding='utf-8', cwd=tmp_path,
                          env={**os.environ, 'PYTHONPATH': str(tmp_path/'site'), 'FASTBOOK_NOTES_CACHE': str(cache),
                               'PYTHONIOENCODING': 'utf-8'})
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert '03_ethics' in last and 'cell 2' in last and 'ZeroDivisionError' in last and 'Traceback' not in done.stderr
    assert 'accuracy 0.500' in done.stdout and 'failed' in done.stdout
    assert {p.name for p in (tmp_path/'_run').iterdir()} == {f'{n}.{e}' for n in ('03_ethics', '04_mnist_basics')
                                                             for e in ('ipynb', 'html')}


TOO_LONG = 'a'*300


@pytest.mark.slow
@posix_only
@pytest.mark.parametrize('words, status, message', [
    ('data >&-', 0, ''), ('--help >&- 2>&-', 0, ''), ('predict nope few 2>&-', 2, ''),
    ('data > /dev/full', 2, 'the output: No space left'), ('--help > /dev/full', 2, 'the output: No space left'),
    (f'predict cat_or_dog {TOO_LONG}', 2, 'File name too long'), (f'train 1 --out {TOO_LONG}', 2, 'File name too long'),
    (f'app line --model {TOO_LONG}', 2, ''), (f'convert {TOO_LONG} out --i-trust-this-file', 2, ''), (f'data check {TOO_LONG}', 2, ''),
    ('data check ~nobody-of-this-name/x', 2, 'nobody-of-this-name'), ('data check ~nobody-of-this-name/x --undo', 2, 'nobody-of-this-name'),
    ('app breeds --model ~nobody-of-this-name/x', 2, 'nobody-of-this-name'),
    ('train 5 --data ~nobody-of-this-name/x', 2, 'nobody-of-this-name'),
    ('train 1 --out /', 2, '/ '), ('app line --host ""', 2, 'The host is empty'),
])
def test_odd_outputs_and_names_end_in_a_line(cache, tmp_path, words, status, message):
    done = subprocess.run(f'{sys.executable} -c "from fastbook_notes.cli import main; main()" {words}', shell=True, cwd=tmp_path,
                          env={**os.environ, 'FASTBOOK_NOTES_CACHE': str(cache)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == status and message in done.stderr and 'Traceback' not in done.stderr, done
    assert len([line for line in done.stderr.splitlines() if line.startswith('fastbook-notes:')]) == (status == 2 and '2>&-' not in words)


@posix_only
@pytest.mark.skipif(sys.platform == 'darwin', reason='macOS keeps a folder that somebody is in')
def test_a_removed_folder_is_named(cache, tmp_path):
    (gone := tmp_path/'gone').mkdir()
    done = subprocess.run(f'rmdir {gone}; exec {sys.executable} -c "import sys; sys.path.insert(0, {str(ROOT)!r}); '
                          'from fastbook_notes.cli import main; main()" data', shell=True, cwd=gone,
                          capture_output=True, text=True, timeout=120)
    says_no(done, 'has been removed')


ENDLESS = """
import sys, nbformat
from fastbook_notes.chapters import execute
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('print("begun"); import time; time.sleep(600)')])
def on_cell(done, of): print('running', flush=True)
try: execute(notebook, 'endless', on_cell=on_cell)
except KeyboardInterrupt: print('told to end')
"""


@pytest.mark.slow
@posix_only
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_ends(tmp_path, number):
    "nbclient ends the kernel, and would go on to the next chapter"
    with subprocess.Popen([sys.executable, '-c', ENDLESS], cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(ROOT)},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'running\n'
        time.sleep(0.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, 'told to end\n', '')


@pytest.mark.slow
@posix_only
def test_an_interrupted_start_says_nothing(tmp_path, record_property):
    "At random times, most of them while libraries are imported, some of which make another error of an interruption"
    (tmp_path/'images').mkdir()
    Image.new('RGB', (40, 30)).save(tmp_path/'images'/'one.png')
    rng, ended, trials = random.Random(11), Counter(), int(os.environ.get('FASTBOOK_NOTES_TEST_KILLS', 3))
    for _ in range(trials):
        code = 'print("begun", flush=True); from fastbook_notes.command import main; main()'
        with subprocess.Popen([sys.executable, '-c', code, 'predict', 'cat_or_dog', 'images'], cwd=tmp_path, text=True,
                              env={**os.environ, 'PYTHONPATH': str(ROOT), 'FASTBOOK_NOTES_CACHE': str(tmp_path/'cache')},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout.readline() == 'begun\n'
            time.sleep(0.2 + rng.uniform(0, 1.5))
            process.send_signal(signal.SIGINT)
            _, wrong = process.communicate(timeout=60)
        assert process.returncode == 130 and wrong in ('', 'Stopped. The same command goes on.\n'), (process.returncode, wrong)
        ended[wrong.strip() or 'nothing'] += 1
    record_property('figure', f'Ctrl-C: {trials} starts of predict interrupted; said {dict(ended)}')


@posix_only
def test_a_written_file_has_the_mode_of_any_other(tmp_path):
    from safetensors.numpy import save_file
    (tmp_path/'plain').touch()
    with atomic_file(tmp_path/'written') as part: save_file({'one': np.ones(1)}, part)
    assert (tmp_path/'written').stat().st_mode == (tmp_path/'plain').stat().st_mode


@pytest.mark.parametrize('given', [None, 'ACTIVE'])
def test_threads_sleep_while_they_wait_unless_a_person_has_said_otherwise(given):
    "Set by the command alone, before PyTorch is there"
    code = ('import os, sys; from fastbook_notes.cli import main; before = os.environ.get("OMP_WAIT_POLICY"); sys.argv = ["x", "--help"]\n'
            'try: main()\nexcept SystemExit: print(before, os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)')
    environ = {name: value for name, value in os.environ.items() if name != 'OMP_WAIT_POLICY'}
    if given: environ['OMP_WAIT_POLICY'] = given
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environ)
    assert done.stdout.splitlines()[-1] == f'{given} {given or "PASSIVE"} False', done.stderr
