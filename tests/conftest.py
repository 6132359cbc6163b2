"What the tests share: where things are, and how the command is run."
import ast
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from configparser import ConfigParser
from pathlib import Path

import nbformat
import psutil
import pytest

from browser import OPTIONS, find_browser

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT/'tools')) # Programs of the repository that the wheel doesn't carry
NOTEBOOKS = sorted(p for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)


def notebook_name(path: Path) -> str:
    "For example `data/datasets`"
    return path.relative_to(ROOT/'nbs').with_suffix('').as_posix()


def imported(source: str, package: str = '') -> set[str]:
    "The full names of the modules that a source imports, inside functions as well; a name that is imported from one may be a module itself"
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import): found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name('.'*node.level + (node.module or ''), package) if node.level else node.module
            found |= {origin, *(f'{origin}.{alias.name}' for alias in node.names)}
    return found


@pytest.fixture(params=NOTEBOOKS, ids=notebook_name)
def notebook(request):
    "Each notebook of the project in turn, as it is stored"
    return nbformat.read(request.param, as_version=4)


def processes_with(mark: str, value: str, patience: float = 0) -> list[str]:
    "The commands of all processes that were started with an environment variable, when some seconds have passed or none is left"
    end = time.monotonic() + patience
    while True:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(mark) != value or process.status() == psutil.STATUS_ZOMBIE: continue
                found.append(' '.join(process.cmdline()))
            except (psutil.Error, OSError): continue
        if not found or time.monotonic() > end: return found
        time.sleep(0.2)


@pytest.fixture(scope='session', autouse=True)
def signals_are_heard():
    "Also where the tests run in the background or by `nohup`, which ignore some: what is caught here has its default in what tests start"
    for number in (signal.SIGINT, *([] if os.name == 'nt' else [signal.SIGHUP])):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else lambda *_: None)


@pytest.fixture(scope='session', autouse=True)
def nothing_left():
    "When all tests are done, no process that they started is left"
    mark, value = 'FASTBOOK_NOTES_TEST_SESSION', secrets.token_hex(8)
    os.environ[mark] = value
    yield
    assert processes_with(mark, value, 20) == []


@pytest.fixture(scope='session', autouse=True)
def temporary_files(tmp_path_factory, nothing_left):
    "When all tests are done, nothing is left of what they, or programs that they started, put among the temporary files"
    tmp_path_factory.getbasetemp() # Is beside, not inside
    came, folder, before = {}, Path(tempfile.mkdtemp(prefix='notes-')), os.environ.get('TMPDIR')
    os.environ['TMPDIR'], tempfile.tempdir = str(folder), None
    yield folder, came
    if before is None: del os.environ['TMPDIR']
    else: os.environ['TMPDIR'] = before
    tempfile.tempdir = None
    left = {name: came.get(name, 'the end') for name in os.listdir(folder) if name.startswith('fastbook') or name.endswith('.part')} # Ours
    shutil.rmtree(folder, ignore_errors=True)
    assert left == {}, f'left by: {left}'


@pytest.fixture(autouse=True)
def noted_temporary_files(request, temporary_files):
    "Which test a temporary file came with"
    yield
    folder, came = temporary_files
    for name in os.listdir(folder): came.setdefault(name, request.node.nodeid)


@pytest.fixture(scope='session')
def settings():
    "settings.ini, the home of the metadata"
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    return ini['DEFAULT']


@pytest.fixture(scope='session')
def cache(tmp_path_factory) -> Path:
    "A cache folder of the tests' own, which starts empty"
    return tmp_path_factory.mktemp('cache')


@pytest.fixture
def command(cache, tmp_path):
    "Runs `fastbook-notes` as a person would, in an empty folder"
    def run(*words, **env):
        notes = {'PYTHONIOENCODING': 'utf-8', 'FASTBOOK_NOTES_CACHE': str(cache), 'FASTBOOK_NOTES_DATA': ''}
        return subprocess.run([sys.executable, '-c', 'from fastbook_notes.cli import main; main()', *map(str, words)], cwd=tmp_path,
                              env={**os.environ, **notes, **env}, capture_output=True, text=True, encoding='utf-8', timeout=300)
    return run


NO_NETWORK = """
import os, socket, sys
LOG, HERE = os.environ['FASTBOOK_NOTES_SOCKET_LOG'], {'127.0.0.1', '::1', 'localhost', '', '0.0.0.0'}
def refuse(host):
    with open(LOG, 'a') as log: log.write(f'{host}\\n')
    raise OSError(101, f'Network is unreachable (blocked by a test: {host})')
def elsewhere(host):
    return host is not None and (host.decode() if isinstance(host, bytes) else str(host)) not in HERE
def guard(method):
    def connect(self, address, *rest):
        if self.family in (socket.AF_INET, socket.AF_INET6) and elsewhere(address[0]): refuse(address[0])
        return method(self, address, *rest)
    return connect
class GuardedSocket(socket.socket):
    connect, connect_ex, sendto = guard(socket.socket.connect), guard(socket.socket.connect_ex), socket.socket.sendto
find = socket.getaddrinfo
def getaddrinfo(host, *rest, **options):
    if elsewhere(host): refuse(host)
    return find(host, *rest, **options)
socket.socket, socket.getaddrinfo = GuardedSocket, getaddrinfo
"""


class BlockedNetwork:
    "Every Python process of this environment is refused any host but this one, and the attempt is written down"
    def __init__(self, folder: Path):
        (folder/'sitecustomize.py').write_text(NO_NETWORK)
        self.log = folder/'tried.txt'
        self.environment = {'PYTHONPATH': str(folder), 'FASTBOOK_NOTES_SOCKET_LOG': str(self.log)}

    def tried(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def blocked_network(tmp_path_factory):
    return BlockedNetwork(tmp_path_factory.mktemp('blocked'))


# The longest first, so that the last one doesn't keep one process waiting for the other.
LONGEST = ('test_run', 'test_apps', 'test_website', 'test_models', 'test_distributed', 'test_wheel', 'test_predict',
           'test_checkpoints')
# Files that train, and fixtures that start the command or build something; a single test says `@pytest.mark.slow`.
SLOW = {'test_run', 'test_models', 'test_distributed', 'test_predict', 'test_checkpoints', 'test_app_ends', 'test_same_answers',
        'test_exports', 'test_engine', 'test_first_model', 'test_imports', 'test_nothing_lost', 'test_app_doors', 'test_heads',
        'command', 'built', 'site', 'blocked_network'}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
    for item in items:
        if 'browser' in item.fixturenames: item.add_marker('browser')
        if SLOW & {item.path.stem, *item.fixturenames}: item.add_marker('slow')


# ---- a browser, and pages that must not complain

LOCAL = 'http://127.0.0.1:', 'ws://127.0.0.1:', 'data:', 'blob:', 'file:'


def complains(message) -> bool:
    "Whether a page's console has an error or a warning of ours; html-manager warns of its own accord, and Voila of JupyterLab's versions"
    if message.type != 'warning': return message.type == 'error'
    return 'html-manager' not in message.location['url'] and not re.search('shared (singleton )?module', message.text)


def not_here(reason: str, **options):
    "Skip a test; where everything has to be tested, that is a failure"
    if os.environ.get('FASTBOOK_NOTES_TEST_COMPLETE'): pytest.fail(reason, pytrace=False)
    pytest.skip(reason, **options)


@pytest.fixture(scope='session')
def browser_type_launch_args(browser_type_launch_args):
    "pytest-playwright's browser is the Chromium that is here; `pytest --headed --slowmo 500` and `--tracing on` are its options"
    found = find_browser()
    if not found: not_here("there is no Chromium: install your system's package, or run `playwright install chromium`")
    return {**browser_type_launch_args, 'executable_path': found, 'args': OPTIONS}


@pytest.fixture
def visit(new_context):
    "Opens a page; at the end of the test, nothing may have been amiss on any"
    amiss, pages = [], []

    def open_page(address, **options):
        page = new_context(**{'viewport': {'width': 1280, 'height': 900}, **options}).new_page()
        page.on('console', lambda said: amiss.append(f'{page.url}: {said.type}: {said.text}') if complains(said) else None)
        page.on('pageerror', lambda error: amiss.append(f'{page.url}: {error}'))
        page.on('response', lambda response: amiss.append(f'{response.status}: {response.url}') if response.status >= 400 else None)
        page.on('request', lambda request: None if request.url.startswith(LOCAL) else amiss.append(f'elsewhere: {request.url}'))
        page.goto(address, wait_until='load')
        pages.append(page)
        return page

    yield open_page
    for page in pages: # What it still has to say is heard as it closes
        if not page.is_closed(): page.context.close()
    assert amiss == []


def pytest_terminal_summary(terminalreporter):
    "Print the figures that tests reached, also those of other processes"
    reports = [report for reports in terminalreporter.stats.values() for report in reports if getattr(report, 'when', '') == 'call']
    figures = [value for report in reports for name, value in report.user_properties if name == 'figure']
    if not figures: return
    terminalreporter.section('figures')
    for figure in figures: terminalreporter.write_line(figure)
