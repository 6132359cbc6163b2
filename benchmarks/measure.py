"What the benchmarks share: runs that take turns, ratios of medians, and a record that names the machine."
import argparse
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent/'results.json'


def options(**more):
    "What was typed: `--quick` tries a benchmark out on next to nothing, and records nothing unless `--out` says where"
    parser = argparse.ArgumentParser()
    parser.add_argument('--quick', action='store_true', help='a tiny setting, to see whether it runs')
    parser.add_argument('--data', default=None, metavar='sample|full|FOLDER',
                        help='which pictures; without it FASTBOOK_NOTES_DATA, else sample')
    parser.add_argument('--rounds', type=int, default=None, help='how often each side runs after its warm-up')
    parser.add_argument('--out', type=Path, default=None, metavar='FILE', help='where the results are recorded')
    return parser.parse_args()


def seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def take_turns(sides, rounds, warm_up=None) -> dict[str, list[float]]:
    "Seconds of each side's runs; sides go one after the other, in the other order each round. `rounds` may differ from side to side"
    often = rounds if isinstance(rounds, dict) else dict.fromkeys(sides, rounds)
    for run in (warm_up or sides).values(): run()
    took = {name: [] for name in sides}
    for i in range(max(often.values())):
        for name in (list(sides) if i % 2 == 0 else list(sides)[::-1]):
            if i < often[name]: took[name].append(seconds(sides[name]))
    return took


def ratio_row(claim, against, ours, theirs, at_least=None, at_most=None, unit='s', **more) -> dict:
    "A row of the table. 'At least' is how many times quicker ours is; 'at most' is how many times theirs ours takes"
    ours, theirs = ([values] if isinstance(values, (int, float)) else values for values in (ours, theirs))
    a, b = median(ours), median(theirs)
    ratio = a/b if at_most else b/a
    pairs = [x/y if at_most else y/x for x, y in zip(ours, theirs)]
    target = f'at most {at_most:g}x' if at_most else f'at least {at_least:g}x' if at_least else ''
    met = ratio <= at_most if at_most else ratio >= at_least if at_least else None
    return dict(claim=claim, against=against, ours=round(a, 4), theirs=round(b, 4), unit=unit,
                ratio=round(ratio, 3), lowest=round(min(pairs), 3), highest=round(max(pairs), 3),
                rounds=[len(ours), len(theirs)], target=target, met=met, **more)


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        return next(line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration): return platform.processor() or platform.machine()


def machine() -> dict:
    "What the figures depend on"
    import torch
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    processors = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return dict(date=date.today().isoformat(), processor=_processor(), processors=processors,
                threads=torch.get_num_threads(), gpu=gpu, load=load and round(load, 1), system=platform.system(),
                python=platform.python_version(), **{name: version(name) for name in ('torch', 'torchvision', 'fastai', 'timm', 'pillow')})


def record(script, rows, given):
    "Put a script's rows, with the machine and the time, in place of its earlier ones; and show them"
    for row in rows:
        spread = f"{row['lowest']:.2f} to {row['highest']:.2f}"
        print(f"{row['claim']} | {row['against']} | {row['ratio']:.2f}x ({spread}) | {row['target'] or '-'} | {row['met']}", flush=True)
    out = given.out or (None if given.quick else RESULTS)
    if not out: return
    kept = json.loads(out.read_text(encoding='utf-8')) if out.is_file() else {}
    kept[Path(script).stem] = dict(machine=machine(), quick=given.quick, rows=rows)
    out.write_text(json.dumps(kept, indent=1, sort_keys=True) + '\n', encoding='utf-8')


@contextmanager
def own_cache():
    "A cache for features and graphs that starts empty, while the data sets stay where they are"
    import tempfile
    from unittest.mock import patch

    from fastbook_notes.models import engine, features
    with tempfile.TemporaryDirectory() as folder, patch.object(features, 'cache_folder',
                                                               lambda: Path(folder)), patch.object(engine,
                                                                   'cache_folder', lambda: Path(folder)):
        yield Path(folder)


@contextmanager
def busy():
    "One other process that never waits"
    spinning = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
    try: yield
    finally:
        spinning.kill()
        spinning.wait()


@contextmanager
def silent(learn):
    with learn.no_bar(), learn.no_logging(): yield learn
