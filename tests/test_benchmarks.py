"The arithmetic of the benchmarks, and their record; no speed is asserted anywhere."
import json
import sys

import nbformat
import pytest

from conftest import ROOT

FOLDER = ROOT/'benchmarks'


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import measure
    import table
    yield measure, table
    for name in ('measure', 'table'): sys.modules.pop(name)


def test_sides_take_turns_after_a_warm_up(benchmarks):
    measure, _ = benchmarks
    seen = []
    took = measure.take_turns(dict(a=lambda: seen.append('a'), b=lambda: seen.append('b')), dict(a=3, b=1))
    assert ''.join(seen) == 'ab' + 'ab' + 'a' + 'a'
    assert [len(times) for times in took.values()] == [3, 1]


def test_a_ratio_is_that_of_the_medians(benchmarks):
    measure, _ = benchmarks
    quicker = measure.ratio_row('ours', 'theirs', [1, 2, 9], [8, 6, 90], at_least=3)
    assert (quicker['ratio'], quicker['lowest'], quicker['highest'], quicker['met']) == (4, 3, 10, True)
    larger = measure.ratio_row('large', 'small', 220, 200, at_most=1.05, unit='MB')
    assert (larger['ratio'], larger['met'], larger['target']) == (1.1, False, 'at most 1.05x')


def test_the_table_says_what_was_missed(benchmarks):
    measure, table = benchmarks
    machine = dict(processor='A', processors=2, gpu=None, system='Linux', python='3.11', torch='2', fastai='2', date='2026-01-01',
                   threads=2, load=0.5)
    rows = [measure.ratio_row('one', 'another', [1], [2], at_least=3),
            measure.ratio_row('three', 'four', [1], [2], at_least=2, gain='do it')]
    setting = measure.ratio_row('bf16', 'float32', [2, 2], [1, 1]) | dict(pays=False)
    results = dict(a=dict(machine=machine, rows=rows), cpu_settings=dict(machine=machine, rows=[setting]))
    text = table.table(results)
    assert '| one | another | 2.00x | at least 3x, missed |' in text
    assert '| three | four | 2.00x | at least 2x |' in text
    assert '| bf16 | float32 | 0.50 (0.50 to 0.50) | no |' in text
    assert 'A, 2 processors, no GPU' in text and '2 threads, load 0.5' in text
    assert table.gains(results).splitlines()[2:] == ['| do it | four | 2.0 |']


def test_what_is_recorded_was_measured_in_full(benchmarks):
    "And names its machine; a tiny setting is for trying a script out"
    for name, result in json.loads((FOLDER/'results.json').read_text()).items():
        assert (FOLDER/f'{name}.py').is_file()
        assert not result['quick'] and result['machine']['processor'] and result['rows'], name


@pytest.mark.parametrize('page, part', [('index', 'gains'), ('benchmarks', 'table')])
def test_the_pages_show_what_is_recorded(benchmarks, page, part):
    _, table = benchmarks
    cells = nbformat.read(ROOT/'nbs'/f'{page}.ipynb', as_version=4).cells
    text = getattr(table, part)(json.loads(table.RESULTS.read_text(encoding='utf-8')))
    assert text in [cell.source for cell in cells], 'run `python benchmarks/table.py`, then `make readme`'
