"An app ends when it is told to, whichever way, and so do its server and the kernels of its visitors."
import http.client
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from conftest import processes_with
from fastbook_notes.apps.serving import scratch_folder

MARK = 'FASTBOOK_NOTES_TEST_APP'
COMMAND = [sys.executable, '-u', '-c', 'from fastbook_notes.cli import main; main()', 'app', 'line', '--port', '8700']
posix_only = pytest.mark.skipif(os.name == 'nt', reason='signals and terminals are those of POSIX')


class Started:
    "An app with a visitor, started by the command"
    def __init__(self, folder, **options):
        self.value, self.begun = secrets.token_hex(8), time.monotonic()
        env = {**os.environ, MARK: self.value, 'TMPDIR': str(folder), 'FASTBOOK_NOTES_CACHE': str(folder/'cache')}
        self.process = subprocess.Popen(COMMAND, text=True, cwd=folder, env=env, start_new_session=True,
                                        **{'stdout': subprocess.PIPE, **options})

    def visited(self, lines):
        "Read what is printed until the address is there, and open it: that starts a kernel"
        address = next(line for line in lines if ' is at ' in line).split(' is at ')[1].partition(';')[0]
        threading.Thread(target=self._visit, args=(address,), daemon=True).start()
        end = time.monotonic() + 60
        while not self.kernels():
            assert time.monotonic() < end, 'no kernel has started'
            time.sleep(0.1)
        return self

    def _visit(self, address):
        try: urllib.request.urlopen(address, timeout=120).read()
        except (OSError, http.client.HTTPException): pass

    def kernels(self): return [command for command in processes_with(MARK, self.value) if 'ipykernel' in command]

    def left(self): return processes_with(MARK, self.value, 30)


def to_group(number): return lambda app: os.killpg(app.process.pid, number)
def to_command(number): return lambda app: app.process.send_signal(number)


def to_server(number):
    def send(app):
        import psutil
        child, = psutil.Process(app.process.pid).children()
        child.send_signal(number)
    return send


ENDINGS = {'terminate': to_command(signal.SIGTERM)}
if os.name != 'nt':
    ENDINGS |= {'Ctrl-C': to_group(signal.SIGINT), 'hang up': to_command(signal.SIGHUP), 'kill': to_command(signal.SIGKILL),
                'terminate the server': to_server(signal.SIGTERM), 'kill the server': to_server(signal.SIGKILL)}


@pytest.mark.parametrize('ending, wait', [*((ending, 0) for ending in ENDINGS), ('terminate', 3)])
def test_nothing_is_left(ending, wait, tmp_path, monkeypatch):
    "Told while the kernel starts, and when the page is there"
    app = Started(tmp_path)
    app.visited(app.process.stdout)
    time.sleep(wait)
    ENDINGS[ending](app)
    status = app.process.wait(30)
    assert app.left() == []
    assert status == {'kill': -9, 'terminate the server': 2, 'kill the server': 2}.get(ending, 0)
    left = [path for path in tmp_path.iterdir() if path.name != 'cache']
    if ending != 'kill the server': assert left == []
    for path in left: os.utime(path, (0, 0)) # A kernel that was just starting can make the folder anew; the next app removes it
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    with scratch_folder() as scratch: assert [path for path in tmp_path.iterdir() if path.name != 'cache'] == [scratch]
    assert [path for path in tmp_path.iterdir() if path.name != 'cache'] == []


@posix_only
def test_nothing_is_left_when_its_terminal_is_closed(tmp_path):
    ours, theirs = os.openpty()
    app = Started(tmp_path, stdin=theirs, stdout=theirs, stderr=theirs,
                  preexec_fn=lambda: __import__('fcntl').ioctl(0, __import__('termios').TIOCSCTTY, 0))
    os.close(theirs)
    with os.fdopen(ours, encoding='utf-8') as terminal: app.visited(terminal)
    app.process.wait(30)
    assert app.left() == []


@posix_only
def test_a_server_that_does_not_listen_any_more_ends_too(tmp_path):
    "Stopped, as by Ctrl-Z, it can't end by itself"
    import psutil
    app = Started(tmp_path)
    app.visited(app.process.stdout)
    server, = psutil.Process(app.process.pid).children()
    server.suspend()
    app.process.terminate()
    assert app.process.wait(60) == 0 and app.left() == []


def test_something_is_said_within_a_second_of_work(tmp_path):
    "Seconds of the first line, beyond what Python takes to start on this machine"
    start = time.monotonic()
    subprocess.run([sys.executable, '-c', 'import typer, rich'], check=True)
    bare = time.monotonic() - start
    app = Started(tmp_path)
    try:
        assert app.process.stdout.readline().startswith('line: ')
        assert time.monotonic() - app.begun < bare + 1
    finally:
        app.process.kill()
        app.process.wait()
    assert app.left() == []


DESK_PROGRAM = '''
import sys
from pathlib import Path
from fastbook_notes.apps.desk import open_desk
class Counter:
    n = 0
    def answer(self, request, picture=None):
        self.n += 1
        return {'kind': 'answer', 'n': self.n}, []
open_desk(Counter(), Path(sys.argv[1]))
'''


@posix_only
def test_a_model_that_is_killed_is_started_again(tmp_path):
    "Visitors wait for it, and the page goes on; after the last one nothing runs"
    from fastbook_notes.apps.desk import RemoteDesk
    from fastbook_notes.apps.serving import _kept_running
    started, desk = [], RemoteDesk(tmp_path/'desk.json')
    def start():
        started.append(subprocess.Popen([sys.executable, '-c', DESK_PROGRAM, str(tmp_path/'desk.json')], text=True,
                                        stdin=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]
    def ask(): return desk.answer({'kind': 'picture'})[0]
    with _kept_running(start):
        assert [ask()['n'], ask()['n']] == [1, 2]
        started[-1].kill()
        started[-1].wait()
        assert ask() == {'kind': 'answer', 'n': 1} and len(started) == 2
    assert [process.poll() is None for process in started] == [False, False]
    assert not list(tmp_path.glob('*.part'))
