"""The last recorded results as Markdown; run as a script, it puts what a user gains into the home page, which the README and the site
show, and everything into the page of benchmarks."""
import json
from pathlib import Path

import nbformat

from measure import RESULTS

NBS = Path(__file__).parent.parent/'nbs'
HEAD = '| row | against | measured | target |'
GAINS = '| to ... | instead of | times as quick |'


def machine_line(machine) -> str:
    "The machine in a line"
    gpu = f", {machine['gpu']}" if machine['gpu'] else ', no GPU'
    programs = f"Python {machine['python']}, torch {machine['torch']}, fastai {machine['fastai']}"
    return (f"{machine['processor']}, {machine['processors']} processors{gpu}; {machine['system']}, {programs}; "
            f"{machine['date']}, {machine['threads']} threads, load {machine['load']}")


def claims(results) -> str:
    "What has a target: the ratio of medians, its range over the rounds, and whether the target is met"
    lines = [HEAD, '| --- | --- | --- | --- |']
    for script in sorted(results):
        for row in results[script]['rows']:
            if not row['target']: continue
            spread = f" ({row['lowest']:.2f} to {row['highest']:.2f})" if row['lowest'] != row['highest'] else ''
            target = row['target'] + ('' if row['met'] else ', missed')
            lines.append(f"| {row['claim']} | {row['against']} | {row['ratio']:.2f}x{spread} | {target} |")
    if not any(result['machine']['gpu'] for result in results.values()):
        gpu = 'mixed precision, channels_last, pictures a second on a GPU'
        lines.append(f'| {gpu} | what the card can do | no GPU could be reached | |')
    return '\n'.join(lines)


def settings(results) -> str:
    "What has none: settings that pay, and those that don't"
    lines = ['| setting | against | times as quick | pays |', '| --- | --- | --- | --- |']
    for row in results.get('cpu_settings', dict(rows=[]))['rows']:
        ratio = f"{row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f})"
        lines.append(f"| {row['claim']} | {row['against']} | {ratio} | {'yes' if row['pays'] else 'no'} |")
    return '\n'.join(lines)


def gains(results) -> str:
    "What a user gains, a row for each thing to do"
    rows = [row for script in sorted(results) for row in results[script]['rows'] if row.get('gain')]
    return '\n'.join([GAINS, '| --- | --- | --- |', *(f"| {row['gain']} | {row['against']} | {row['ratio']:.1f} |" for row in rows)])


def table(results) -> str:
    "All of it"
    machines = list(dict.fromkeys(machine_line(result['machine']) for result in results.values()))
    return '\n\n'.join([claims(results), settings(results), 'Measured on: ' + '. '.join(machines) + '.'])


def into_page(page, head, text):
    "Put a table in place of the one that is there"
    notebook = nbformat.read(NBS/page, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.source.startswith(head))
    cell.source = text
    nbformat.write(notebook, NBS/page)


if __name__ == '__main__':
    results = json.loads(RESULTS.read_text(encoding='utf-8'))
    into_page('index.ipynb', GAINS, gains(results))
    into_page('benchmarks.ipynb', HEAD, table(results))
    print(table(results))
