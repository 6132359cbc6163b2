"Downloads from a server that misbehaves, archives that would do harm, and processes that are killed on the way."
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from fastbook_notes import downloads
from fastbook_notes.data.datasets import get_dataset
from fastbook_notes.data.downloads import BadArchive, fetch, fetch_archive, known_archive, unpack
from fastbook_notes.errors import NotesError

posix_only = pytest.mark.skipif(os.name == 'nt', reason='forks and kills as POSIX does')
KILLS = 50


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
    table = 'fname,labels,is_valid\n1.jpg,cat,False\n2.jpg,dog,True\n'.encode()
    return {
        'MNIST_SAMPLE': ('mnist_sample', [(f'mnist_sample/{split}/{digit}/1.png', picture) for split in ('train', 'valid') for digit in '37']),
        'MNIST': ('mnist_png', [(f'mnist_png/{split}/{digit}/1.png', picture) for split in ('training', 'testing') for digit in range(10)]),
        'PETS': ('oxford-iiit-pet', [('oxford-iiit-pet/annotations/list.txt', b'#'), *[(f'oxford-iiit-pet/images/{breed}_{i}.jpg', picture) for breed in ('Birman', 'beagle') for i in range(3)]]),
        'PASCAL_2007': ('pascal_2007', [('pascal_2007/train.csv', table), ('pascal_2007/train/1.jpg', picture), ('pascal_2007/train/2.jpg', picture)])}


DATA = archive_of([(f'set/images/{i}.bin', os.urandom(3000)) for i in range(60)])
DIGEST = f'sha256:{hashlib.sha256(DATA).hexdigest()}'


class Server(BaseHTTPRequestHandler):
    "Does what the address says: the good file, and everything that a server may do wrong"
    protocol_version = 'HTTP/1.1'
    asked, files = [], {'good': DATA}

    def log_message(self, *args): pass

    def begin(self, status, length=None, **headers):
        self.send_response(status)
        if length is not None: self.send_header('Content-Length', length)
        for name, value in headers.items(): self.send_header(name.replace('_', '-'), value)
        self.send_header('Connection', 'close')
        self.end_headers()
        self.close_connection = True

    def part(self, data, tag='"v1"', at_most=None, pieces=1, pause=0):
        "The file from where it is asked for, or the beginning of that"
        wanted = self.headers.get('Range') if self.headers.get('If-Range') == tag else None
        start = int(wanted.removeprefix('bytes=').rstrip('-')) if wanted else 0
        if start >= len(data): return self.begin(416, 0)
        more = {'Content_Range': f'bytes {start}-{len(data) - 1}/{len(data)}'} if wanted else {}
        self.begin(206 if wanted else 200, len(data) - start, ETag=tag, **more)
        rest = data[start:][:at_most]
        step = -(-len(rest)//pieces)
        for i in range(0, len(rest), step):
            self.wfile.write(rest[i:i + step])
            time.sleep(pause)

    def do_GET(self):
        how, n = self.path.strip('/').split('/')[0], len([1 for path, _ in Server.asked if path == self.path])
        Server.asked.append((self.path, self.headers.get('Range', '')))
        try: getattr(self, f'do_{how}')(n)
        except (BrokenPipeError, ConnectionResetError): pass

    def do_good(self, n): self.part(Server.files.get(self.path.rpartition('/')[2], DATA))
    def do_slow(self, n): self.part(DATA, pieces=20, pause=0.02)
    def do_cuts(self, n): self.part(DATA, at_most=len(DATA)//6)
    def do_cuts_without_parts(self, n):
        self.begin(200, len(DATA))
        self.wfile.write(DATA[:len(DATA)//2])
    def do_cuts_once_without_parts(self, n):
        self.begin(200, len(DATA))
        self.wfile.write(DATA[:len(DATA)//2] if n == 0 else DATA)
    def do_stalls_once(self, n):
        self.part(DATA, at_most=len(DATA)//2 if n == 0 else None)
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
    def do_503_twice(self, n): self.begin(503, 0) if n < 2 else self.part(DATA)
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
        if n == 0: return self.part(DATA, at_most=len(DATA)//2)
        self.begin(206, len(DATA) - 5, ETag='"v1"', Content_Range=f'bytes 5-{len(DATA) - 1}/{len(DATA)}')
        self.wfile.write(DATA[5:])
    def do_nonsense_part(self, n):
        if n == 0: return self.part(DATA, at_most=len(DATA)//2)
        self.begin(206, 3, ETag='"v1"', Content_Range='cows 1-2')
        self.wfile.write(b'moo')
    def do_no_http(self, n): self.wfile.write(b'SSH-2.0-OpenSSH_9.9\r\n')
    def do_chunks(self, n):
        self.begin(200, Transfer_Encoding='chunked')
        for i in range(0, len(DATA), 50_000): self.wfile.write(f'{len(DATA[i:i + 50_000]):x}\r\n'.encode() + DATA[i:i + 50_000] + b'\r\n')
        self.wfile.write(b'0\r\n\r\n')
    def do_cut_chunks(self, n):
        self.begin(200, Transfer_Encoding='chunked')
        self.wfile.write(b'100000\r\nonly so much')
    def do_bad_chunks(self, n):
        self.begin(200, Transfer_Encoding='chunked')
        self.wfile.write(b'zzz\r\n')


@pytest.fixture(scope='module')
def address():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(downloads, 'STALLED', 0.4)
    monkeypatch.setattr(downloads.time, 'sleep', lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.02)) if threading.current_thread() is threading.main_thread() else sleep(seconds))


def left_in(folder): return sorted(file.name for file in folder.rglob('*') if file.suffix != '.lock')


@pytest.mark.parametrize('how', ['good', 'slow', 'cuts', 'cuts_once_without_parts', 'stalls_once', '503_twice', 'redirects', 'changes', 'says_nothing', 'says_nonsense', 'chunks'])
@pytest.mark.parametrize('told', [True, False], ids=['with checksum', 'without'])
def test_what_can_be_had_is_fetched_whole(address, tmp_path, how, told):
    file = fetch(f'{address}/{how}/{"told" if told else "untold"}', tmp_path/'file', **dict(size=len(DATA), checksum=DIGEST) if told else {})
    assert file.read_bytes() == DATA and left_in(tmp_path) == ['file']


REFUSED = {'cuts_without_parts': 'broke off', 'stalls': '', 'never_answers': '', 'says_too_much': '', 'says_too_little': '', 'endless': 'more than', 'huge': 'expected', '403': '403', '404': '404', '410': '410', '500': '500',
           'redirects_in_a_circle': '', 'redirects_to_a_file': 'redirect', 'redirects_to_ftp': 'redirect', 'redirects_to_nothing': '302', 'login_page': 'bytes', 'damaged': 'not the file', 'empty': 'bytes', 'no_http': '', 'cut_chunks': '',
           'bad_chunks': '', 'nowhere': ''}


@pytest.mark.parametrize('how', REFUSED)
def test_what_can_not_be_had_is_refused_in_one_line(address, tmp_path, how):
    start = time.perf_counter()
    with pytest.raises(NotesError) as error: fetch(f'{address}/{how}/x', tmp_path/'file', size=len(DATA), checksum=DIGEST)
    said = str(error.value)
    assert len(said.splitlines()) == 1 and REFUSED[how] in said and '127.0.0.1' in said, said
    assert not (tmp_path/'file').exists() and time.perf_counter() - start < 20


@pytest.mark.parametrize('how', ['wrong_part', 'nonsense_part'])
def test_a_part_that_was_not_asked_for_is_not_put_in(address, tmp_path, how):
    with pytest.raises(NotesError): fetch(f'{address}/{how}/x', tmp_path/'file', checksum=DIGEST)
    assert not (tmp_path/'file').exists()
    assert fetch(f'{address}/good/x', tmp_path/'file', checksum=DIGEST).read_bytes() == DATA


def test_nobody_there_and_no_address(tmp_path):
    for url in ('http://127.0.0.1:9/x', 'http://no-such-host.invalid/x', 'http://[::1', 'https://exa mple/x', 'http:///x', 'http://\u2603.invalid/x'):
        with pytest.raises(NotesError) as error: fetch(url, tmp_path/'file')
        assert len(str(error.value).splitlines()) == 1
    for url in ('file:///etc/passwd', 'ftp://example.org/x', '/etc/passwd', '', 'data:,x'):
        with pytest.raises(NotesError, match='no address'): fetch(url, tmp_path/'file')
    assert not (tmp_path/'file').exists()


def test_what_has_arrived_is_kept_for_the_next_time(address, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, 'TRIES', 1)
    with pytest.raises(NotesError, match='what has arrived is kept'): fetch(f'{address}/cuts/kept', tmp_path/'file', checksum=DIGEST)
    have = (tmp_path/'.file.part').stat().st_size
    monkeypatch.setattr(downloads, 'TRIES', 5)
    assert have >= len(DATA)//6 and fetch(f'{address}/cuts/kept', tmp_path/'file', checksum=DIGEST).read_bytes() == DATA
    assert (f'/cuts/kept', f'bytes={have}-') in Server.asked


@pytest.mark.parametrize('part, note', [(b'x'*100, ''), (b'x'*100, '{'), (b'x'*100, '[]'), (b'x'*100, '{"url": 1, "version": null}'), (b'x'*(len(DATA) + 5), 'right'), (b'x'*100, 'other'), (b'', 'right'), (DATA[:5000], 'right'), (DATA, 'right')],
                         ids=['no note', 'half a note', 'a list', 'a strange note', 'too long', 'of another file', 'empty', 'the start', 'all of it'])
def test_odd_leftovers_do_no_harm(address, tmp_path, part, note):
    url = f'{address}/good/left'
    (tmp_path/'.file.part').write_bytes(part)
    (tmp_path/'.file.note').write_text({'right': json.dumps({'url': url, 'version': '"v1"'}), 'other': json.dumps({'url': 'http://example.org', 'version': '"v1"'})}.get(note, note))
    assert fetch(url, tmp_path/'file', checksum=DIGEST).read_bytes() == DATA and left_in(tmp_path) == ['file']


def test_a_disk_that_is_full_or_closed_is_named(address, tmp_path, monkeypatch):
    (tmp_path/'taken').write_text('mine')
    with pytest.raises(NotesError, match='taken'): fetch(f'{address}/good/x', tmp_path/'taken'/'file')
    monkeypatch.setattr(downloads.shutil, 'disk_usage', lambda folder: type('', (), {'free': 1000}))
    (tmp_path/'a.tgz').write_bytes(DATA)
    with pytest.raises(NotesError, match='MB left'): unpack(tmp_path/'a.tgz', tmp_path/'set')
    assert left_in(tmp_path) == ['a.tgz', 'taken']


@pytest.mark.parametrize('name', ['MNIST_SAMPLE', 'MNIST', 'PETS', 'PASCAL_2007'])
@pytest.mark.parametrize('compress', [gzip.compress, bz2.compress, lzma.compress, bytes], ids=['gz', 'bz2', 'xz', 'plain'])
def test_archives_in_fastais_layout(address, tmp_path, name, compress):
    folder, members = small_sets()[name]
    data = Server.files[f'{folder}.tgz'] = archive_of(members, compress)
    place = fetch_archive(f'{address}/good/{folder}.tgz', tmp_path/'data'/folder, folder, tmp_path/'archive'/f'{folder}.tgz', len(data), f'md5:{hashlib.md5(data).hexdigest()}')
    assert get_dataset(name, place) == place
    assert {f'{folder}/{file.relative_to(place).as_posix()}': file.read_bytes() for file in place.rglob('*') if file.is_file()} == dict(members)


LINKS = {'a link to the root': ('set/x', tarfile.SYMTYPE, '/'), 'a link upwards': ('set/x', tarfile.SYMTYPE, '../..'), 'a link inside': ('set/x', tarfile.SYMTYPE, 'a'), 'a hard link outside': ('set/x', tarfile.LNKTYPE, '../../etc/passwd'),
         'a hard link inside': ('set/x', tarfile.LNKTYPE, 'set/a'), 'an absolute hard link': ('set/x', tarfile.LNKTYPE, '/etc/passwd'), 'a device': ('set/x', tarfile.CHRTYPE, ''), 'a disk': ('set/x', tarfile.BLKTYPE, ''), 'a pipe': ('set/x', tarfile.FIFOTYPE, ''),
         'a sparse file': ('set/x', tarfile.GNUTYPE_SPARSE, ''), 'a link as the folder': ('set', tarfile.SYMTYPE, '/tmp')}
NAMES = ['../x', 'set/../../x', 'set/a/../../../x', '/x', '//x', '/etc/passwd', '..', '../', 'set/..', 'C:/x', 'C:x', '\\x', '..\\x', 'set\\..\\x', 'set/a\nb', 'set/a\x1bb', 'set/nul', 'set/CON.txt', 'set/a.', 'set/a ', 'set/' + 'a'*300, 'a/'*60 + 'x', '', '.', 'set/\udcff']


def header(name, size, kind=b'0', raw=None):
    "A tar header as it is written, with a size that need not be true"
    made = member(name)
    made.type, made.size = kind, abs(size)
    block = bytearray(made.tobuf(tarfile.GNU_FORMAT)[:512])
    if raw is not None: block[124:136] = raw
    block[148:156] = b' '*8
    block[148:156] = f'{sum(block):06o}\0 '.encode()
    return bytes(block)


def bombs():
    "Archives that ask for much room or memory"
    good = [('set/a', b'a'*1000), ('set/b', b'b'*2000)]
    yield 'a bomb', archive_of([*good, ('set/zeros', bytes(30_000_000))])
    yield 'a bomb, bz2', archive_of([('set/zeros', bytes(30_000_000))], bz2.compress)
    yield 'a bomb, xz', archive_of([('set/zeros', bytes(30_000_000))], lzma.compress)
    yield 'a bomb of many files', archive_of([(f'set/{i}', b'') for i in range(20_000)])
    yield 'a bomb behind the end', gzip.compress(archive_of(good, bytes) + bytes(40_000_000))
    yield 'a file that says it has 8 GB', gzip.compress(header('set/x', 8**11 - 1) + bytes(2000))
    yield 'a file with a size below zero', gzip.compress(header('set/x', 0, raw=b'\xff'*12) + bytes(2000))
    yield 'a file with a size of -1024', gzip.compress(header('set/x', 0, raw=b'\xff'*10 + b'\xfc\0') + bytes(2000))
    yield 'a long name of 4 GB', gzip.compress(header('././@LongLink', 4_000_000_000, b'L') + bytes(30_000_000))
    yield 'a long name below zero', gzip.compress(header('././@LongLink', 0, b'L', b'\xff'*12) + bytes(2000))
    yield 'extended headers of 4 GB', gzip.compress(header('pax', 4_000_000_000, b'x') + bytes(30_000_000))
    yield 'extended headers below zero', gzip.compress(header('pax', 0, b'x', b'\xff'*12) + bytes(2000))
    yield 'extended headers without end', gzip.compress((header('pax', 8, b'x') + b'8 a=bcd\n' + bytes(504))*3000)


def bad_archives():
    "What must not be unpacked, as (what it is, bytes)"
    good = [('set/a', b'a'*1000), ('set/b', b'b'*2000)]
    for what, (name, kind, to) in LINKS.items():
        yield what, archive_of([*good, (member(name, kind, to), b'')])
        yield f'{what}, first', archive_of([(member(name, kind, to), b''), *good, ('set/x/y', b'through it')])
    for name in NAMES:
        try: yield f'the name {name[:20]!r}', archive_of([*good, (name, b'x')])
        except UnicodeEncodeError: yield f'the name {name[:20]!r}', archive_of([*good, (name, b'x')], format=tarfile.GNU_FORMAT)
    yield 'a file twice', archive_of([*good, ('set/a', b'other')])
    yield 'a file twice on some systems', archive_of([*good, ('set/A', b'other')])
    yield 'a file that is also a folder', archive_of([*good, ('set/a/c', b'c')])
    yield 'a folder that is also a file', archive_of([('set/a/c', b'c'), ('set/a', b'a')])
    yield from bombs()
    yield 'other files only', archive_of([('elsewhere/a', b'a')])
    yield 'no file at all', archive_of([])
    yield 'only a folder', archive_of([(member('set', tarfile.DIRTYPE), b'')])
    yield 'random members', gzip.compress(os.urandom(5000))
    for what, compress in {'gz': gzip.compress, 'bz2': bz2.compress, 'xz': lzma.compress, 'plain': bytes}.items():
        whole = archive_of([*good, ('set/noise', os.urandom(20_000))], compress)
        for share in (0, 0.01, 0.1, 0.3, 0.5, 0.6, 0.9 if what != 'plain' else 0.65): yield f'{what} cut at {share:.0%}', whole[:int(share*len(whole))]
        for place in (0, 12, 100, len(whole)//3, len(whole)//2) if what != 'plain' else (100, 130, 150): yield f'{what} with a byte changed at {place}', whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1:]
    whole = archive_of(good)
    yield 'gz without its last byte', whole[:-1]
    yield 'gz with a wrong checksum', whole[:-8] + bytes(4) + whole[-4:]
    yield 'gz and nonsense behind it', whole + b'nonsense'
    yield 'tar and nonsense behind it', gzip.compress(archive_of(good, bytes) + b'nonsense')
    for what, data in {'empty': b'', 'a web page': b'<html>Please log in</html>', 'a zip': b'PK\3\4' + bytes(100), 'a picture': small_picture(1), 'zeros': bytes(10_240), 'gzipped text': gzip.compress(b'not a tar archive'), 'gzipped nothing': gzip.compress(b''),
                       'a pickle': b'\x80\x04\x95', 'random': os.urandom(10_000)}.items(): yield what, data


def test_bad_archives_are_refused_and_change_nothing(tmp_path, record_property):
    (tmp_path/'target'/'mine').mkdir(parents=True)
    (tmp_path/'target'/'mine'/'note.txt').write_text('mine')
    (tmp_path/'outside').mkdir()
    accepted, n, slowest = [], 0, 0
    for what, data in bad_archives():
        archive, start = tmp_path/'archive.tgz', time.process_time()
        archive.write_bytes(data)
        try:
            unpack(archive, tmp_path/'target'/'set', 'set')
            accepted.append(what)
        except BadArchive as e: assert len(str(e).splitlines()) == 1 and str(e).isprintable() and len(str(e)) < 600, str(e)
        slowest, n = max(slowest, time.process_time() - start), n + 1
        assert left_in(tmp_path) == ['archive.tgz', 'mine', 'note.txt', 'outside', 'target'], what
    record_property('figure', f'Archives: {n} that would do harm or are damaged, {n - len(accepted)} refused, {len(accepted)} unpacked; slowest {slowest:.1f} s; the target folder is unchanged')
    assert accepted == [] and slowest < 5


@posix_only
def test_bombs_fill_neither_memory_nor_disk(tmp_path):
    code = '''
import pathlib, resource, sys
sys.path.insert(0, sys.argv[1])
from fastbook_notes import downloads
from test_downloads import bombs
from odd_pictures import most_memory
files = list(bombs())
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000_000, 60_000_000))
before = most_memory()
for what, data in files:
    archive = pathlib.Path('a.tgz')
    archive.write_bytes(data)
    try: downloads.unpack(archive, 'set')
    except downloads.BadArchive: pass
    else: sys.exit(what)
print(len(files), most_memory() - before)
'''
    done = subprocess.run([sys.executable, '-c', code, str(Path(__file__).parent)], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    n, grown = done.stdout.split()
    assert int(n) >= 7 and float(grown) < 200


def test_a_whole_archive_is_unpacked_once(tmp_path):
    (tmp_path/'a.tgz').write_bytes(DATA)
    place = unpack(tmp_path/'a.tgz', tmp_path/'set', 'set')
    (place/'mine.txt').write_text('mine')
    assert unpack(tmp_path/'a.tgz', place, 'set') == place and (place/'mine.txt').read_text() == 'mine' and len(list((place/'images').iterdir())) == 60


def test_a_wrong_archive_is_not_kept(address, tmp_path):
    Server.files['bad.tgz'] = DATA[:2000]
    with pytest.raises(BadArchive): fetch_archive(f'{address}/good/bad.tgz', tmp_path/'set')
    assert left_in(tmp_path) == []
    with pytest.raises(NotesError, match='not the file'): fetch_archive(f'{address}/good/file', tmp_path/'set', checksum='sha256:' + '0'*64)
    assert left_in(tmp_path) == []


FETCH = 'import sys; from fastbook_notes.data.downloads import fetch_archive; print(fetch_archive(sys.argv[1], sys.argv[2], "set", checksum=sys.argv[3]))'


def test_the_second_process_waits_for_the_first(address, tmp_path):
    url, before = f'{address}/slow/together', len(Server.asked)
    both = [subprocess.Popen([sys.executable, '-c', FETCH, url, tmp_path/'set', DIGEST], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert all(str(tmp_path/'set') in process.communicate()[0] and process.returncode == 0 for process in both)
    assert Server.asked[before:] == [('/slow/together', '')] and len(list((tmp_path/'set'/'images').iterdir())) == 60


KILL = '''
import hashlib, os, random, shutil, signal, sys, time
from pathlib import Path
from fastbook_notes.data.downloads import fetch_archive
url, here, checksum, kills, expected = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
rng, killed, found = random.Random(11), 0, {'nothing': 0, 'the archive': 0, 'all': 0}

def digest(folder):
    return hashlib.sha256(b''.join(file.name.encode() + file.read_bytes() for file in sorted(folder.rglob('*')) if file.is_file())).hexdigest()

start = time.perf_counter()
fetch_archive(url, here/'set', 'set', checksum=checksum)
whole = time.perf_counter() - start
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
        fetch_archive(url, here/'set', 'set', checksum=checksum)
        os._exit(0)
    by_count, wait = rng.random() < 0.5, rng.uniform(0, rng.choice([0.5, 1.1*whole]))
    if by_count: rng.randrange(1, 200)
    else:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += os.WIFSIGNALED(status)
    archive = here/Path(url).name
    if archive.exists(): assert f'sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}' == checksum
    if (here/'set').exists(): assert digest(here/'set') == expected
    if os.WIFSIGNALED(status): found['all' if (here/'set').exists() else 'the archive' if archive.exists() else 'nothing'] += 1
    if (here/'set').exists() or archive.exists() and rng.random() < 0.5:
        shutil.rmtree(here, ignore_errors=True)
fetch_archive(url, here/'set', 'set', checksum=checksum)
assert digest(here/'set') == expected and not list(here.glob('.set.unpacking-*')) and not list(here.glob('*.part'))
print(killed, *found.values())
'''


@posix_only
def test_a_killed_download_leaves_nothing_or_all(address, tmp_path, record_property):
    (tmp_path/'a.tgz').write_bytes(DATA)
    unpack(tmp_path/'a.tgz', tmp_path/'expected', 'set')
    expected = hashlib.sha256(b''.join(file.name.encode() + file.read_bytes() for file in sorted((tmp_path/'expected').rglob('*')) if file.is_file())).hexdigest()
    before = len(Server.asked)
    done = subprocess.run([sys.executable, '-c', KILL, f'{address}/slow/set.tgz', tmp_path/'here', DIGEST, str(KILLS), expected], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    killed, nothing, archive, whole = map(int, done.stdout.split())
    resumed = sum(bool(asked) for path, asked in Server.asked[before:] if path == '/slow/set.tgz')
    record_property('figure', f'Downloads: {killed} killed; left were no file {nothing} times, the whole archive {archive} times, the whole folder {whole} times; {resumed} went on where another had stopped')
    assert killed >= KILLS and nothing and archive and resumed and nothing + archive + whole == killed


def test_fastais_archives_are_known():
    assert known_archive('https://s3.amazonaws.com/fast-ai-sample/mnist_sample.tgz') == dict(size=3214948, checksum='md5:2dbc7ec6f9259b583af0072c55816a88')
    assert known_archive('https://example.org/x.tgz') == {}
    for name in ('fast-ai-imageclas/mnist_png', 'fast-ai-imageclas/oxford-iiit-pet', 'fast-ai-imagelocal/pascal_2007'): assert known_archive(f'https://s3.amazonaws.com/{name}.tgz')['size'] > 10_000_000
