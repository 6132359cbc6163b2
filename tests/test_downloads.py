"Downloads from a server that misbehaves, archives that would do harm, and processes that are killed on the way."
import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fastdownload.core
import pytest
import requests
from PIL import Image

from fastbook_notes.data import downloads
from fastbook_notes.data.datasets import DATASETS, get_dataset
from fastbook_notes.data.downloads import BadArchive, fetch, fetch_archive, known_archive, unpack
from fastbook_notes.errors import NotesError

posix_only = pytest.mark.skipif(os.name == 'nt', reason='forks and kills as POSIX does')
KILLS = 50
NOISE = random.Random(1).randbytes


def member(name, kind=tarfile.REGTYPE, to='', **more):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, to
    for key, value in more.items(): setattr(made, key, value)
    return made


def archive_of(members, compress=gzip.compress, format=tarfile.PAX_FORMAT):
    "A tar archive of (name or member, bytes)"
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w', format=format) as tar:
        for made, data in members:
            if isinstance(made, str): made = member(made)
            if made.isreg(): made.size = len(data)
            tar.addfile(made, io.BytesIO(data))
    return compress(file.getvalue())


def small_picture(number):
    file = io.BytesIO()
    Image.new('L', (8, 8), number % 256).save(file, 'PNG')
    return file.getvalue()


def small_sets():
    "The four data sets, small, in fastai's layout"
    picture = small_picture(7)
    table = b'fname,labels,is_valid\n1.jpg,cat,False\n2.jpg,dog,True\n'
    pets = [f'images/{breed}_{i}.jpg' for breed in ('Birman', 'beagle') for i in range(3)]
    pictures = {
        'mnist_sample': [f'{split}/{digit}/1.png' for split in ('train', 'valid') for digit in '37'],
        'mnist_png': [f'{split}/{digit}/1.png' for split in ('training', 'testing') for digit in range(10)],
        'oxford-iiit-pet': pets,
        'pascal_2007': ['train/1.jpg', 'train/2.jpg']}
    more = {'oxford-iiit-pet': [('annotations/list.txt', b'#')], 'pascal_2007': [('train.csv', table)]}
    return {name: [(f'{data.folder}/{file}', content)
                   for file, content in [*more.get(data.folder, []), *((file, picture) for file in pictures[data.folder])]]
            for name, data in DATASETS.items()}


DATA = archive_of([(f'set/images/{i}.bin', os.urandom(3000)) for i in range(60)])
EXPECTED = len(DATA), hashlib.md5(DATA).hexdigest()


class Server(BaseHTTPRequestHandler):
    "Does what the address says: the good file, and everything that a server may do wrong"
    protocol_version = 'HTTP/1.1'
    asked, files = [], {}

    def log_message(self, *args): pass

    def begin(self, status, length=None, **headers):
        self.send_response(status)
        if length is not None: self.send_header('Content-Length', length)
        for name, value in headers.items(): self.send_header(name.replace('_', '-'), value)
        self.send_header('Connection', 'close')
        self.end_headers()
        self.close_connection = True

    def part(self, data=None, tag='"v1"', at_most=None, pieces=1, pause=0, kind='ETag'):
        "The file from where it is asked for, or the beginning of that"
        data = self.data if data is None else data
        wanted = self.headers.get('Range') if self.headers.get('If-Range') == tag else None
        start = int(wanted.removeprefix('bytes=').rstrip('-')) if wanted else 0
        if start >= len(data): return self.begin(416, 0)
        more = {'Content_Range': f'bytes {start}-{len(data) - 1}/{len(data)}'} if wanted else {}
        self.begin(206 if wanted else 200, len(data) - start, **{kind: tag}, **more)
        rest = data[start:][:at_most]
        step = -(-len(rest)//pieces)
        for i in range(0, len(rest), step):
            self.wfile.write(rest[i:i + step])
            time.sleep(pause)

    def do_GET(self):
        how, n = self.path.strip('/').split('/')[0], len([1 for path, _ in Server.asked if path == self.path])
        self.data = Server.files.get(self.path.rpartition('/')[2], DATA)
        Server.asked.append((self.path, self.headers.get('Range', '')))
        try: getattr(self, f'do_{how}')(n)
        except (BrokenPipeError, ConnectionResetError): pass

    def do_good(self, n): self.part()
    def do_slow(self, n): self.part(pieces=20, pause=0.02)
    def do_cuts(self, n): self.part(at_most=len(self.data)//6)
    def do_cuts_once(self, n): self.part(at_most=None if n else len(self.data)//2)
    def do_cuts_dated(self, n): self.part(tag='Mon, 01 Jan 2024 00:00:00 GMT', at_most=len(DATA)//3, kind='Last-Modified')
    def do_cuts_weakly(self, n): self.part(tag='W/"v1"', at_most=None if n else len(DATA)//2)
    def do_cuts_without_parts(self, n):
        self.begin(200, len(DATA))
        self.wfile.write(DATA[:len(DATA)//2])
    def do_cuts_once_without_parts(self, n):
        self.begin(200, len(DATA))
        self.wfile.write(DATA[:len(DATA)//2] if n == 0 else DATA)
    def do_stalls_once(self, n):
        self.part(at_most=len(DATA)//2 if n == 0 else None)
        if n == 0: time.sleep(1.5)
    def do_stalls(self, n):
        self.begin(200, len(DATA), ETag='"v1"')
        time.sleep(1)
    def do_never_answers(self, n): time.sleep(1)
    def do_says_too_much(self, n):
        self.begin(200, len(DATA) + 1000)
        self.wfile.write(DATA)
    def do_says_too_little(self, n):
        self.begin(200, len(DATA) - 1000)
        self.wfile.write(DATA)
    def do_says_nothing(self, n):
        self.begin(200)
        self.wfile.write(DATA)
    def do_says_nonsense(self, n):
        self.begin(200, 'many')
        self.wfile.write(DATA)
    def do_endless(self, n):
        self.begin(200)
        while True: self.wfile.write(bytes(1 << 20))
    def do_huge(self, n): self.begin(200, 10**15)
    def do_403(self, n): self.begin(403, 0)
    def do_404(self, n): self.begin(404, 0)
    def do_410(self, n): self.begin(410, 0)
    def do_500(self, n): self.begin(500, 0)
    def do_204(self, n): self.begin(204)
    def do_503_twice(self, n): self.begin(503, 0) if n < 2 else self.part()
    def do_redirects(self, n): self.begin(302, 0, Location='/good/file')
    def do_redirects_in_a_circle(self, n): self.begin(302, 0, Location=self.path)
    def do_redirects_to_a_file(self, n): self.begin(302, 0, Location='file:///etc/passwd')
    def do_redirects_to_ftp(self, n): self.begin(302, 0, Location='ftp://127.0.0.1/x')
    def do_redirects_to_nothing(self, n): self.begin(302, 0)
    def do_login_page(self, n):
        self.begin(200, 30)
        self.wfile.write(b'<html>Please log in</html>    ')
    def do_damaged(self, n):
        self.begin(200, len(DATA))
        self.wfile.write(DATA[:1000] + bytes([DATA[1000] ^ 1]) + DATA[1001:])
    def do_empty(self, n): self.begin(200, 0)
    def do_changes(self, n): self.part(DATA[::-1], '"old"', len(DATA)//2) if n == 0 else self.part(DATA, '"new"')
    def do_wrong_part(self, n):
        if n == 0: return self.part(at_most=len(DATA)//2)
        self.begin(206, len(DATA) - 5, ETag='"v1"', Content_Range=f'bytes 5-{len(DATA) - 1}/{len(DATA)}')
        self.wfile.write(DATA[5:])
    def do_nonsense_part(self, n):
        if n == 0: return self.part(at_most=len(DATA)//2)
        self.begin(206, 3, ETag='"v1"', Content_Range='cows 1-2')
        self.wfile.write(b'moo')
    def do_no_http(self, n): self.wfile.write(b'SSH-2.0-OpenSSH_9.9\r\n')
    def do_chunks(self, n):
        self.begin(200, Transfer_Encoding='chunked')
        for i in range(0, len(DATA), 50_000):
            self.wfile.write(f'{len(DATA[i:i + 50_000]):x}\r\n'.encode() + DATA[i:i + 50_000] + b'\r\n')
        self.wfile.write(b'0\r\n\r\n')
    def do_cut_chunks(self, n):
        self.begin(200, Transfer_Encoding='chunked')
        self.wfile.write(b'100000\r\nonly so much')
    def do_bad_chunks(self, n):
        self.begin(200, Transfer_Encoding='chunked')
        self.wfile.write(b'zzz\r\n')
    def do_zipped(self, n):
        self.begin(200, len(DATA), Content_Encoding='gzip')
        self.wfile.write(DATA)


@pytest.fixture(scope='module')
def address():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    def short(seconds, sleep=time.sleep): sleep(min(seconds, 0.02) if threading.current_thread() is threading.main_thread() else seconds)
    monkeypatch.setattr(downloads, 'TIMEOUT', 0.4)
    monkeypatch.setattr(downloads.time, 'sleep', short)


def contents(place, folder):
    "The files of an unpacked archive, by the names that they had in it"
    return {f'{folder}/{file.relative_to(place).as_posix()}': file.read_bytes() for file in place.rglob('*') if file.is_file()}


def left_in(folder): return sorted(file.name for file in folder.rglob('*') if file.suffix != '.lock')


# ---- fetching

HAD = ['good', 'slow', 'cuts', 'cuts_once', 'cuts_dated', 'cuts_weakly', 'cuts_once_without_parts', 'stalls_once', '503_twice', 'redirects',
       'changes', 'says_nothing', 'says_nonsense', 'chunks', 'zipped']


@pytest.mark.parametrize('how', HAD)
@pytest.mark.parametrize('told', [True, False], ids=['as expected', 'nothing expected'])
def test_what_can_be_had_is_fetched_whole(address, tmp_path, how, told):
    file = fetch(f'{address}/{how}/{"told" if told else "untold"}', tmp_path/'file', EXPECTED if told else None)
    assert file.read_bytes() == DATA and left_in(tmp_path) == ['file']


REFUSED = {
    'cuts_without_parts': 'broke off', 'stalls': '', 'never_answers': '', 'says_too_much': 'bytes', 'says_too_little': 'bytes',
    'endless': 'more than', 'huge': 'bytes', '403': '403', '404': '404', '410': '410', '500': '500', '204': '204',
    'redirects_in_a_circle': 'redirect', 'redirects_to_a_file': 'redirect', 'redirects_to_ftp': 'redirect', 'redirects_to_nothing': '302',
    'login_page': 'bytes', 'damaged': 'expected file', 'empty': 'bytes', 'no_http': '', 'cut_chunks': '', 'bad_chunks': '', 'nowhere': ''}


@pytest.mark.slow
@pytest.mark.parametrize('how', REFUSED)
def test_what_can_not_be_had_is_refused_in_one_line(address, tmp_path, how):
    start, before = time.perf_counter(), len(Server.asked)
    with pytest.raises(NotesError) as error: fetch(f'{address}/{how}/x', tmp_path/'file', EXPECTED)
    message = str(error.value)
    assert len(message.splitlines()) == 1 and len(message) < 400 and REFUSED[how] in message and '127.0.0.1' in message, message
    assert not (tmp_path/'file').exists() and time.perf_counter() - start < 20
    assert how == 'redirects_in_a_circle' or len(Server.asked) - before <= 2*downloads.TRIES


@pytest.mark.parametrize('how, words', [('endless', 'more than'), ('huge', 'more than')])
def test_what_nothing_is_expected_of_has_a_limit(address, tmp_path, how, words):
    with pytest.raises(NotesError, match=words): fetch(f'{address}/{how}/limit', tmp_path/'file', most=3_000_000)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize('how', ['wrong_part', 'nonsense_part'])
def test_a_part_that_was_not_asked_for_is_not_put_in(address, tmp_path, how):
    with pytest.raises(NotesError): fetch(f'{address}/{how}/x', tmp_path/'file', EXPECTED)
    assert not (tmp_path/'file').exists()
    assert fetch(f'{address}/good/x', tmp_path/'file', EXPECTED).read_bytes() == DATA


def test_nobody_there_and_no_address(tmp_path):
    for url in ('http://127.0.0.1:9/x', 'http://no-such-host.invalid/x', 'http://[::1', 'https://exa mple/x', 'http:///x',
                'http://\u2603.invalid/x', f'http://{"a"*70}.invalid/x'):
        with pytest.raises(NotesError) as error: fetch(url, tmp_path/'file')
        assert len(str(error.value).splitlines()) == 1
    for url in ('file:///etc/passwd', 'ftp://example.org/x', '/etc/passwd', '', 'data:,x'):
        with pytest.raises(NotesError, match='not an address'): fetch(url, tmp_path/'file')
    assert not (tmp_path/'file').exists()


def test_https_leads_to_nothing_less(address, tmp_path, monkeypatch):
    class Redirects(requests.adapters.BaseAdapter):
        def send(self, request, **options):
            answer = requests.Response()
            answer.status_code, answer.url, answer.request, answer.raw = 302, request.url, request, io.BytesIO()
            answer.headers['Location'] = f'{address}/good/x'
            return answer
        def close(self): pass
    make = downloads._session
    def session(url):
        made = make(url)
        made.mount(url.partition('//')[0] + '//', Redirects())
        return made
    monkeypatch.setattr(downloads, '_session', session)
    before = len(Server.asked)
    with pytest.raises(NotesError, match='redirect'): fetch('https://example.org/x', tmp_path/'file')
    assert Server.asked[before:] == [] and left_in(tmp_path) == []


def test_what_has_arrived_is_kept_for_the_next_time(address, tmp_path, monkeypatch):
    def answer(self, n): self.part(at_most=len(DATA)//6 if n == 0 else 0 if n < 6 else None)
    monkeypatch.setattr(Server, 'do_tired', answer, raising=False)
    with pytest.raises(NotesError, match='what has arrived is kept'): fetch(f'{address}/tired/kept', tmp_path/'file', EXPECTED)
    have = (tmp_path/'.file.partial').stat().st_size
    assert have >= len(DATA)//6 and fetch(f'{address}/tired/kept', tmp_path/'file', EXPECTED).read_bytes() == DATA
    assert Server.asked[-1] == ('/tired/kept', f'bytes={have}-') and left_in(tmp_path) == ['file']


LEFTOVERS = {
    'no note': (b'x'*100, ''),
    'half a note': (b'x'*100, 'http'),
    'an address alone': (b'x'*100, '{url}\n'),
    'three lines': (b'x'*100, '{url}\n"v1"\n"v1"'),
    'another version': (b'x'*100, '{url}\n"v0"'),
    'half a version': (b'x'*100, '{url}\n"v'),
    'too long': (b'x'*(len(DATA) + 5), '{url}\n"v1"'),
    'of another file': (b'x'*100, 'http://example.org\n"v1"'),
    'empty': (b'', '{url}\n"v1"'),
    'the start': (DATA[:5000], '{url}\n"v1"'),
    'all of it': (DATA, '{url}\n"v1"')}


@pytest.mark.parametrize('name', LEFTOVERS)
def test_odd_leftovers_do_no_harm(address, tmp_path, name):
    part, note = LEFTOVERS[name]
    url = f'{address}/good/left'
    (tmp_path/'.file.partial').write_bytes(part)
    (tmp_path/'.file.version').write_text(note.format(url=url))
    assert fetch(url, tmp_path/'file', EXPECTED).read_bytes() == DATA and left_in(tmp_path) == ['file']


def test_a_file_that_is_there_is_fetched_again_only_if_it_is_another(address, tmp_path):
    (tmp_path/'file').write_bytes(DATA)
    before = len(Server.asked)
    fetch(f'{address}/good/again', tmp_path/'file', EXPECTED)
    assert Server.asked[before:] == []
    (tmp_path/'file').write_bytes(b'of an earlier version')
    with pytest.raises(NotesError): fetch(f'{address}/404/again', tmp_path/'file', EXPECTED)
    assert (tmp_path/'file').read_bytes() == b'of an earlier version'
    assert fetch(f'{address}/good/again', tmp_path/'file', EXPECTED).read_bytes() == DATA


# ---- the disk

def test_a_disk_that_is_full_or_closed_is_named(address, tmp_path, monkeypatch):
    (tmp_path/'taken').write_text('mine')
    with pytest.raises(NotesError, match='taken'): fetch(f'{address}/good/x', tmp_path/'taken'/'file')
    (tmp_path/'a.tgz').write_bytes(DATA)
    with monkeypatch.context() as patch:
        patch.setattr(downloads.shutil, 'disk_usage', lambda folder: type('', (), {'free': 1000}))
        with pytest.raises(NotesError, match='No space left.*0 MB'): unpack(tmp_path/'a.tgz', tmp_path/'set')
        with pytest.raises(NotesError, match='No space left.*0 MB'): fetch(f'{address}/good/x', tmp_path/'file', EXPECTED)
        with pytest.raises(NotesError, match='No space left') as error:
            fetch_archive(f'{address}/good/a.tgz', tmp_path/'set', expected=EXPECTED)
    assert not isinstance(error.value, BadArchive) and left_in(tmp_path) == ['a.tgz', 'taken']


FULL = '''
import resource, sys
from fastbook_notes.data.downloads import fetch, unpack
from fastbook_notes.errors import NotesError
url, file, archive, size = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))
for act in (lambda: fetch(url, file), lambda: unpack(archive, file + '-set')):
    try: act()
    except NotesError as e: print(type(e).__name__, e)
'''


@posix_only
def test_a_write_that_fails_is_said_and_gone_on_with(address, tmp_path):
    (tmp_path/'a.tgz').write_bytes(archive_of([('set/big', bytes(200_000))]))
    words = [sys.executable, '-c', FULL, f'{address}/good/full', tmp_path/'file', tmp_path/'a.tgz', str(100_000)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 2, done.stderr
    assert all(line.startswith('NotesError') and 'File too large' in line and 'free some room' in line for line in lines)
    assert left_in(tmp_path) == ['.file.partial', '.file.version', 'a.tgz']
    assert fetch(f'{address}/good/full', tmp_path/'file', EXPECTED).read_bytes() == DATA and Server.asked[-1][1] == 'bytes=100000-'


# ---- fastai's own archives, by fastai's own check

@pytest.fixture
def publish(address, tmp_path, monkeypatch):
    "Puts an archive where fastai looks for a data set, with the entry that fastdownload itself makes for it"
    from fastai.data.external import URLs
    monkeypatch.setenv('FASTBOOK_NOTES_CACHE', str(tmp_path/'cache'))
    monkeypatch.setenv('FASTAI_HOME', str(tmp_path/'fastai'))
    table = tmp_path/'download_checks.py'
    table.write_text('')
    monkeypatch.setattr(fastdownload.core, 'checks_module', lambda module: table)

    def put(name, data, sent=None, how='good'):
        archive = tmp_path/f'{DATASETS[name].folder}.tgz'
        archive.write_bytes(data)
        url = f'{address}/{how}/{archive.name}'
        monkeypatch.setattr(URLs, name, url)
        monkeypatch.setitem(Server.files, archive.name, data if sent is None else sent)
        fastdownload.core.update_checks(archive, url, table)
        assert known_archive(url) == fastdownload.core.path_stats(archive)
        return archive
    return put


def full_set(name):
    "A data set's archive of more than 3 MB, and its members"
    members = [*small_sets()[name], (f'{DATASETS[name].folder}/noise.bin', NOISE(3_000_000))]
    return archive_of(members), members


@pytest.mark.parametrize('name', DATASETS)
@pytest.mark.parametrize('how', ['good', 'cuts_once'])
def test_full_sets_are_had_by_fastais_own_check(publish, tmp_path, name, how):
    data, members = full_set(name)
    archive, before = publish(name, data, how=how), len(Server.asked)
    place = get_dataset(name, 'full')
    folder = DATASETS[name].folder
    assert place == tmp_path/'cache'/'full'/'data'/folder and len(data) > 3_000_000
    assert contents(place, folder) == dict(members)
    asked = [wanted for _, wanted in Server.asked[before:]]
    assert asked == ([''] if how == 'good' else ['', f'bytes={len(data)//2}-'])
    assert get_dataset(name, 'full') == place and len(Server.asked) == before + len(asked)
    assert left_in(tmp_path/'cache'/'full'/'archive') == [archive.name]


@pytest.mark.parametrize('change, words', [
    (lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], "isn't the expected file"),
    (lambda data: data[:2_000_000] + bytes([data[2_000_000] ^ 1]) + data[2_000_001:], 'damaged'),
    (lambda data: data[:-1], 'bytes in place of'),
    (lambda data: data + b'\0', 'bytes in place of')], ids=['in the first MiB', 'behind it', 'too short', 'too long'])
def test_full_sets_that_differ_are_refused(publish, tmp_path, change, words):
    data, _ = full_set('PETS')
    publish('PETS', data, change(data))
    with pytest.raises(NotesError, match=words) as error: get_dataset('PETS', 'full')
    assert len(str(error.value).splitlines()) == 1 and "size='sample'" in str(error.value)
    assert [file for file in (tmp_path/'cache').rglob('*') if file.is_file() and file.suffix != '.lock'] == []


def test_fastais_archives_are_known():
    known = known_archive('https://s3.amazonaws.com/fast-ai-sample/mnist_sample.tgz')
    assert known == (3214948, '2dbc7ec6f9259b583af0072c55816a88')
    assert known_archive('https://example.org/x.tgz') is None
    from fastai.data.external import URLs
    for name in DATASETS: assert known_archive(getattr(URLs, name))[0] > 3_000_000


# ---- unpacking

@pytest.mark.parametrize('name', DATASETS)
@pytest.mark.parametrize('compress', [gzip.compress, bz2.compress, lzma.compress, bytes], ids=['gz', 'bz2', 'xz', 'plain'])
def test_archives_in_fastais_layout(address, tmp_path, name, compress):
    folder, members = DATASETS[name].folder, small_sets()[name]
    data = Server.files[f'{folder}.tgz'] = archive_of(members, compress)
    place = fetch_archive(f'{address}/good/{folder}.tgz', tmp_path/'data'/folder, folder, tmp_path/'archive'/f'{folder}.tgz',
                          (len(data), hashlib.md5(data).hexdigest()))
    assert get_dataset(name, place) == place
    assert contents(place, folder) == dict(members)


def header(name, size, kind=b'0', raw=None):
    "A tar header as it is written, with a size that need not be true"
    made = member(name)
    made.type, made.size = kind, abs(size)
    block = bytearray(made.tobuf(tarfile.GNU_FORMAT)[:512])
    if raw is not None: block[124:136] = raw
    block[148:156] = b' '*8
    block[148:156] = f'{sum(block):06o}\0 '.encode()
    return bytes(block)


GOOD = [('set/a', b'a'*1000), ('set/b', b'b'*2000)]
BELOW_ZERO = b'\xff'*12

# What asks for much room or memory
BOMBS = {
    'a bomb': lambda: archive_of([*GOOD, ('set/zeros', bytes(30_000_000))]),
    'a bomb, bz2': lambda: archive_of([('set/zeros', bytes(30_000_000))], bz2.compress),
    'a bomb, xz': lambda: archive_of([('set/zeros', bytes(30_000_000))], lzma.compress),
    'a bomb of many files': lambda: archive_of([(f'set/{i}', b'') for i in range(20_000)]),
    'a bomb of many folders': lambda: archive_of([(member(f'set/{i}', tarfile.DIRTYPE), b'') for i in range(20_000)]),
    'a bomb behind the end': lambda: gzip.compress(archive_of(GOOD, bytes) + bytes(40_000_000)),
    'a file that says it has 8 GB': lambda: gzip.compress(header('set/x', 8**11 - 1) + bytes(2000)),
    'a file with a size below zero': lambda: gzip.compress(header('set/x', 0, raw=BELOW_ZERO) + bytes(2000)),
    'a file with a size of -1024': lambda: gzip.compress(header('set/x', 0, raw=b'\xff'*10 + b'\xfc\0') + bytes(2000)),
    'a long name of 4 GB': lambda: gzip.compress(header('././@LongLink', 4_000_000_000, b'L') + bytes(30_000_000)),
    'a long name below zero': lambda: gzip.compress(header('././@LongLink', 0, b'L', BELOW_ZERO) + bytes(2000)),
    'extended headers of 4 GB': lambda: gzip.compress(header('pax', 4_000_000_000, b'x') + bytes(30_000_000)),
    'extended headers below zero': lambda: gzip.compress(header('pax', 0, b'x', BELOW_ZERO) + bytes(2000)),
    'extended headers without end': lambda: gzip.compress((header('pax', 8, b'x') + b'8 a=bcd\n' + bytes(504))*3000)}

# What is neither a file nor a folder, as (name, type, where it leads)
LINKS = {
    'a link to the root': ('set/x', tarfile.SYMTYPE, '/'), 'a link upwards': ('set/x', tarfile.SYMTYPE, '../..'),
    'a link inside': ('set/x', tarfile.SYMTYPE, 'a'), 'a hard link outside': ('set/x', tarfile.LNKTYPE, '../../etc/passwd'),
    'a hard link inside': ('set/x', tarfile.LNKTYPE, 'set/a'), 'an absolute hard link': ('set/x', tarfile.LNKTYPE, '/etc/passwd'),
    'a device': ('set/x', tarfile.CHRTYPE, ''), 'a disk': ('set/x', tarfile.BLKTYPE, ''), 'a pipe': ('set/x', tarfile.FIFOTYPE, ''),
    'a sparse file': ('set/x', tarfile.GNUTYPE_SPARSE, ''), 'a link as the folder': ('set', tarfile.SYMTYPE, '/tmp')}

NAMES = ['../x', 'set/../../x', 'set/a/../../../x', '/x', '//x', '/etc/passwd', '..', '../', 'set/..', 'C:/x', 'C:x', '\\x', '..\\x',
         'set\\..\\x', 'set/a\nb', 'set/a\x1bb', 'set/nul', 'set/CON.txt', 'set/a.', 'set/a ',
         'set/' + 'a'*300, 'a/'*60 + 'x', '', '.', 'set/\udcff']
# Names that tarfile's filter for data keeps, because they stay inside: a leading slash goes, and the rest is only odd.
HARMLESS = {'/x', '//x', '/etc/passwd', 'C:/x', 'C:x', '\\x', '..\\x', 'set\\..\\x', 'set/a\nb', 'set/a\x1bb', 'set/nul', 'set/CON.txt',
            'set/a.', 'set/a ', 'a/'*60 + 'x', 'set/\udcff'}


def named(name):
    "An archive with one odd name in it"
    return archive_of([*GOOD, (name, b'x')], format=tarfile.GNU_FORMAT if '\udcff' in name else tarfile.PAX_FORMAT)


def damaged():
    "Archives that are cut, or that have one wrong byte"
    for what, compress in {'gz': gzip.compress, 'bz2': bz2.compress, 'xz': lzma.compress, 'plain': bytes}.items():
        whole = archive_of([*GOOD, ('set/noise', NOISE(20_000))], compress)
        for share in (0, 0.01, 0.1, 0.3, 0.5, 0.6, 0.65 if compress is bytes else 0.9):
            yield f'{what} cut at {share:.0%}', whole[:int(share*len(whole))]
        places = {'100': 100, '130': 130, '150': 150} if compress is bytes else \
            {'0': 0, '12': 12, '100': 100, 'a third': len(whole)//3, 'a half': len(whole)//2}
        for where, place in places.items():
            yield f'{what} with a byte changed at {where}', whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1:]


WHOLE = archive_of(GOOD)
DAMAGED = dict(damaged())

BAD = {
    **BOMBS,
    **{what: lambda link=link: archive_of([*GOOD, (member(*link), b'')]) for what, link in LINKS.items()},
    **{f'{what}, first': lambda link=link: archive_of([(member(*link), b''), *GOOD, ('set/x/y', b'through it')])
       for what, link in LINKS.items()},
    **{f'the name {name[:20]!a}': lambda name=name: named(name) for name in NAMES if name not in HARMLESS},
    **{what: lambda data=data: data for what, data in DAMAGED.items()},
    'a file twice': lambda: archive_of([*GOOD, ('set/a', b'other')]),
    'a file twice, with a dot': lambda: archive_of([*GOOD, ('set/./a', b'other')]),
    'a file twice on some systems': lambda: archive_of([*GOOD, ('set/A', b'other')]),
    'a file that is also a folder': lambda: archive_of([*GOOD, ('set/a/c', b'c')]),
    'a folder that is also a file': lambda: archive_of([('set/a/c', b'c'), ('set/a', b'a')]),
    'other files only': lambda: archive_of([('elsewhere/a', b'a')]),
    'no file at all': lambda: archive_of([]),
    'only a folder': lambda: archive_of([(member('set', tarfile.DIRTYPE), b'')]),
    'random members': lambda: gzip.compress(NOISE(5000)),
    'gz without its last byte': lambda: WHOLE[:-1],
    'gz with a wrong checksum': lambda: WHOLE[:-8] + bytes(4) + WHOLE[-4:],
    'gz and nonsense behind it': lambda: WHOLE + b'nonsense',
    'tar and nonsense behind it': lambda: gzip.compress(archive_of(GOOD, bytes) + b'nonsense'),
    'empty': lambda: b'',
    'a web page': lambda: b'<html>Please log in</html>',
    'a zip': lambda: b'PK\3\4' + bytes(100),
    'a picture': lambda: small_picture(1),
    'zeros': lambda: bytes(10_240),
    'gzipped text': lambda: gzip.compress(b'not a tar archive'),
    'gzipped nothing': lambda: gzip.compress(b''),
    'a pickle': lambda: b'\x80\x04\x95',
    'random': lambda: NOISE(10_000)}


@pytest.fixture
def target(tmp_path):
    "A folder with something in it, beside another one"
    (tmp_path/'target'/'mine').mkdir(parents=True)
    (tmp_path/'target'/'mine'/'note.txt').write_text('mine')
    (tmp_path/'outside').mkdir()
    return tmp_path/'target'


@pytest.mark.parametrize('what', BAD)
def test_a_bad_archive_is_refused_and_changes_nothing(target, what):
    archive, start = target.parent/'archive.tgz', time.process_time()
    archive.write_bytes(BAD[what]())
    with pytest.raises(BadArchive) as error: unpack(archive, target/'set', 'set')
    message = str(error.value)
    assert len(message.splitlines()) == 1 and message.isprintable() and len(message) < 600, message
    assert left_in(target.parent) == ['archive.tgz', 'mine', 'note.txt', 'outside', 'target']
    assert time.process_time() - start < 5


@pytest.mark.parametrize('name', sorted(HARMLESS), ids=ascii)
@pytest.mark.parametrize('inner', ['set', ''], ids=['one folder', 'all'])
def test_an_odd_name_stays_inside(target, name, inner):
    archive = target.parent/'archive.tgz'
    archive.write_bytes(named(name))
    try: unpack(archive, target/'set', inner)
    except BadArchive: assert os.name == 'nt' or name == 'set/\udcff'
    inside = [file for file in target.parent.rglob('*') if target/'set' in file.parents]
    assert all(file.is_dir() or file.is_file() for file in inside) and not any(file.is_symlink() for file in inside)
    others = {file.relative_to(target.parent).as_posix() for file in target.parent.rglob('*') if file.suffix != '.lock'} - \
        {file.relative_to(target.parent).as_posix() for file in inside}
    assert others - {'target/set'} == {'archive.tgz', 'outside', 'target', 'target/mine', 'target/mine/note.txt'}


def test_no_case_was_dropped(record_property):
    record_property('figure', f'Archives: {len(BAD)} that would do harm or are damaged are refused, '
                              f'{len(HARMLESS)} with odd names stay in their folder')
    assert len(BAD) + len(HARMLESS) >= 127


@pytest.mark.slow
@posix_only
def test_bombs_fill_neither_memory_nor_disk(tmp_path):
    code = '''
import pathlib, resource, sys
sys.path.insert(0, sys.argv[1])
from fastbook_notes.data import downloads
from test_downloads import BOMBS
from odd_pictures import most_memory
files = {what: make() for what, make in BOMBS.items()}
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000_000, 60_000_000))
before = most_memory()
for what, data in files.items():
    archive = pathlib.Path('a.tgz')
    archive.write_bytes(data)
    try: downloads.unpack(archive, 'set')
    except downloads.BadArchive: pass
    else: sys.exit(what)
print(len(files), most_memory() - before)
'''
    words = [sys.executable, '-c', code, str(Path(__file__).parent)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    n, grown = done.stdout.split()
    assert int(n) >= 7 and float(grown) < 200


def test_a_whole_archive_is_unpacked_once(tmp_path):
    (tmp_path/'a.tgz').write_bytes(DATA)
    place = unpack(tmp_path/'a.tgz', tmp_path/'set', 'set')
    (place/'mine.txt').write_text('mine')
    assert unpack(tmp_path/'a.tgz', place, 'set') == place
    assert (place/'mine.txt').read_text() == 'mine' and len(list((place/'images').iterdir())) == 60
    with pytest.raises(NotesError, match='There is no archive'): unpack(tmp_path/'b.tgz', tmp_path/'other')


def test_a_wrong_archive_is_not_kept(address, tmp_path):
    Server.files['bad.tgz'] = DATA[:2000]
    with pytest.raises(BadArchive): fetch_archive(f'{address}/good/bad.tgz', tmp_path/'set')
    assert left_in(tmp_path) == []
    with pytest.raises(NotesError, match="isn't the expected file"):
        fetch_archive(f'{address}/good/file', tmp_path/'set', expected=(len(DATA), '0'*32))
    assert left_in(tmp_path) == []


# ---- several processes, and kills

FETCH = '''
import sys
from fastbook_notes.data.downloads import fetch_archive
print(fetch_archive(sys.argv[1], sys.argv[2], 'set', expected=(int(sys.argv[3]), sys.argv[4])))
'''


@pytest.mark.slow
def test_the_second_process_waits_for_the_first(address, tmp_path):
    words, before = [sys.executable, '-c', FETCH, f'{address}/slow/together', tmp_path/'set', *map(str, EXPECTED)], len(Server.asked)
    together = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert all(str(tmp_path/'set') in process.communicate()[0] and process.returncode == 0 for process in together)
    assert Server.asked[before:] == [('/slow/together', '')] and len(list((tmp_path/'set'/'images').iterdir())) == 60


KILL = '''
import hashlib, os, random, shutil, signal, sys, time
from pathlib import Path
from fastbook_notes import files
from fastbook_notes.data.downloads import fetch_archive
url, here, size, md5, kills, content = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), sys.argv[6]
rng, killed, found = random.Random(11), 0, {'nothing': 0, 'the archive': 0, 'all': 0}

def digest(folder):
    whole = b''.join(file.name.encode() + file.read_bytes() for file in sorted(folder.rglob('*')) if file.is_file())
    return hashlib.sha256(whole).hexdigest()

def get(): return fetch_archive(url, here/'set', 'set', expected=(size, md5))

start = time.perf_counter()
get()
seconds = time.perf_counter() - start
shutil.rmtree(here)
while killed < kills:
    child = os.fork()
    if child == 0:
        if rng.random() < 0.5:
            last, done = rng.randrange(1, 200), [0]
            def count(event, args):
                if event in ('open', 'os.rename', 'os.remove', 'os.mkdir', 'shutil.rmtree', 'os.rmdir'):
                    done[0] += 1
                    if done[0] == last: os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(count)
        get()
        os._exit(0)
    by_count, wait = rng.random() < 0.5, rng.uniform(0, rng.choice([0.5, 1.1*seconds]))
    if by_count: rng.randrange(1, 200)
    else:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += os.WIFSIGNALED(status)
    archive = here/Path(url).name
    if archive.exists(): assert hashlib.md5(archive.read_bytes()).hexdigest() == md5
    if (here/'set').exists(): assert digest(here/'set') == content
    if os.WIFSIGNALED(status): found['all' if (here/'set').exists() else 'the archive' if archive.exists() else 'nothing'] += 1
    if (here/'set').exists() or archive.exists() and rng.random() < 0.5:
        shutil.rmtree(here, ignore_errors=True)
files.STALE = -1
get()
shutil.rmtree(here/'set')
assert digest(get()) == content and not list(here.glob('*.part')) and not list(here.glob('*.partial'))
print(killed, *found.values())
'''


@pytest.mark.slow
@posix_only
def test_a_killed_download_leaves_nothing_or_all(address, tmp_path, record_property):
    (tmp_path/'a.tgz').write_bytes(DATA)
    unpack(tmp_path/'a.tgz', tmp_path/'expected', 'set')
    whole = b''.join(file.name.encode() + file.read_bytes() for file in sorted((tmp_path/'expected').rglob('*')) if file.is_file())
    words = [f'{address}/slow/set.tgz', tmp_path/'here', *EXPECTED, KILLS, hashlib.sha256(whole).hexdigest()]
    before = len(Server.asked)
    done = subprocess.run([sys.executable, '-c', KILL, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    killed, nothing, archive, place = map(int, done.stdout.split())
    resumed = sum(bool(wanted) for path, wanted in Server.asked[before:] if path == '/slow/set.tgz')
    record_property('figure', f'Downloads: {killed} killed; left were no file {nothing} times, the whole archive {archive} times, '
                              f'the whole folder {place} times; {resumed} went on where another had stopped')
    assert killed >= KILLS and nothing and archive and resumed and nothing + archive + place == killed
