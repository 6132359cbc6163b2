"The last recorded results as Markdown; run as a script, it puts them into the home page, which the README and the site show."
import json
from pathlib import Path

import nbformat

from measure import RESULTS

INDEX = Path(__file__).parent.parent/'nbs'/'index.ipynb'
HEAD = '| row | against | measured | target |'


def machine_line(machine) -> str:
    "The machine in a line"
    gpu = f", {machine['gpu']}" if machine['gpu'] else ', no GPU'
    programs = f"Python {machine['python']}, torch {machine['torch']}, fastai {machine['fastai']}"
    return f"{machine['processor']}, {machine['processors']} processors{gpu}; {machine['system']}, {programs}; {machine['date']}"


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


def table(file: Path = RESULTS) -> str:
    "All of it"
    results = json.loads(file.read_text(encoding='utf-8'))
    machines = list(dict.fromkeys(machine_line(result['machine']) for result in results.values()))
    return '\n\n'.join([claims(results), settings(results), 'Measured on: ' + '. '.join(machines) + '.'])


def into_home_page(file: Path = INDEX):
    "Put the table in place of the one that is there"
    notebook = nbformat.read(file, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.source.startswith(HEAD))
    cell.source = table()
    nbformat.write(notebook, file)


if __name__ == '__main__':
    into_home_page()
    print(table())
