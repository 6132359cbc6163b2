"The whole series, executed as a person would: on the sample, with no network, in a folder of its own, within its limits."
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser

import nbformat
import psutil
import pytest

from conftest import BlockedNetwork
from fastbook_notes.chapters import CHAPTERS, stored_result

MINUTE, GIGABYTE = 60, 1024**3
# A machine that is shared takes its time; these catch what got slow, the table that the run prints says how slow.
SECONDS_A_CHAPTER = float(os.environ.get('FASTBOOK_NOTES_TEST_SECONDS', 3*MINUTE))


class Watch(threading.Thread):
    "The largest memory that any process below this one had, sampled"
    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.peak, self.done = psutil.Process(process.pid), 0, threading.Event()

    def run(self):
        while not self.done.wait(0.2):
            try: kernels = self.process.children(recursive=True)
            except psutil.NoSuchProcess: return
            for kernel in kernels:
                try: self.peak = max(self.peak, kernel.memory_info().rss)
                except psutil.NoSuchProcess: pass


@pytest.fixture(scope='session')
def series(cache, tmp_path_factory):
    "All six chapters, run once with every other host out of reach"
    folder = tmp_path_factory.mktemp('series')
    blocked_network = BlockedNetwork(tmp_path_factory.mktemp('blocked'))
    environment = {**os.environ, **blocked_network.environment, 'FASTBOOK_NOTES_CACHE': str(cache), 'FASTBOOK_NOTES_DATA': '',
                   'PYTHONIOENCODING': 'utf-8', 'HOME': str(folder/'home')}
    (folder/'home').mkdir()
    words = [sys.executable, '-c', 'from fastbook_notes.cli import main; main()', 'run', '--out', str(folder/'_run')]
    with (folder/'stdout').open('w') as out, (folder/'stderr').open('w') as err:
        process = subprocess.Popen(words, stdout=out, stderr=err, cwd=folder, env=environment)
        watch = Watch(process)
        watch.start()
        status = process.wait(timeout=6*SECONDS_A_CHAPTER)
        watch.done.set()
    out, err = ((folder/name).read_text(encoding='utf-8') for name in ('stdout', 'stderr'))
    return dict(status=status, out=out, err=err, folder=folder, peak=watch.peak, tried=blocked_network.tried())


@pytest.fixture(params=CHAPTERS, ids=lambda chapter: chapter.name)
def executed(request, series):
    "Each chapter in turn, as the run left it"
    return nbformat.read(series['folder']/'_run'/f'{request.param.name}.ipynb', as_version=4)


def test_all_chapters_run(series):
    assert series['status'] == 0, series['err']


def test_no_other_host_was_called(series):
    assert series['tried'] == []


def test_the_table_has_a_line_for_each_chapter(series):
    for chapter in CHAPTERS:
        line = next(line for line in series['out'].splitlines() if chapter.name in line)
        assert 'sample)' in line and re.search(r'\d\.\d{3}', line) and int(re.search(r'(\d+) *\W*$', line)[1]) < SECONDS_A_CHAPTER


def test_a_log_holds_one_line_for_each_chapter_and_nothing_else(series):
    lines = [line.rpartition('\r')[2] for line in series['err'].split('\n') if line.strip()]
    assert [line.partition(':')[0].strip() for line in lines] == [chapter.name for chapter in CHAPTERS]


def test_memory_stays_below_two_gigabytes(series):
    assert 0.2*GIGABYTE < series['peak'] < 2*GIGABYTE


def test_nothing_is_left_but_the_notebooks_and_their_pages(series):
    left = sorted(p.name for p in (series['folder']/'_run').iterdir())
    assert left == sorted(f'{chapter.name}.{ending}' for chapter in CHAPTERS for ending in ('html', 'ipynb'))


def test_executed_without_errors_or_warnings(executed):
    outputs = [output for cell in executed.cells if cell.cell_type == 'code' for output in cell.outputs]
    assert [output for output in outputs if output.output_type == 'error' or output.get('name') == 'stderr'] == []
    assert stored_result(executed) is not None


@pytest.mark.parametrize('module, metric, holds', [
    ('intro', 'error rate', lambda value: value <= 0.05),
    ('mnist_basics', 'accuracy', lambda value: value >= 0.96),
    ('pet_breeds', 'error rate', lambda value: value <= 0.35),
    ('multicat', 'mean average precision', lambda value: value >= 0.85),
])
def test_the_figures_that_the_notes_promise(series, module, metric, holds):
    chapter = next(chapter for chapter in CHAPTERS if chapter.module == module)
    result = stored_result(nbformat.read(series['folder']/'_run'/f'{chapter.name}.ipynb', as_version=4))
    assert metric in result.metric and holds(result.value), result


class Loads(HTMLParser):
    "Collects what a page would fetch by itself"
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag == 'a': return
        for name, value in attributes:
            if name in ('src', 'href') and (value or '').startswith(('http:', 'https:', '//')): self.found.append(value)


def test_the_pages_load_nothing_from_elsewhere(series):
    for chapter in CHAPTERS:
        page = Loads()
        page.feed((series['folder']/'_run'/f'{chapter.name}.html').read_text(encoding='utf-8'))
        assert page.found == [], chapter.name
