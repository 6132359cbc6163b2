"The last recorded results as Markdown, for the README and the site."
import json
import sys
from pathlib import Path

from measure import RESULTS


def machine_line(machine) -> str:
    "The machine in a line"
    gpu = f", {machine['gpu']}" if machine['gpu'] else ', no GPU'
    return f"{machine['processor']}, {machine['processors']} processors{gpu}; {machine['system']}, Python {machine['python']}, torch {machine['torch']}, fastai {machine['fastai']}; {machine['date']}"


def claims(results) -> str:
    "What has a target: the ratio of medians, its range over the rounds, and whether the target is met"
    lines = ['| row | against | measured | target |', '| --- | --- | --- | --- |']
    for script in sorted(results):
        for row in results[script]['rows']:
            if not row['target']: continue
            spread = f" ({row['lowest']:.2f} to {row['highest']:.2f})" if row['lowest'] != row['highest'] else ''
            lines.append(f"| {row['claim']} | {row['against']} | {row['ratio']:.2f}x{spread} | {row['target']}{'' if row['met'] else ', missed'} |")
    return '\n'.join(lines)


def settings(results) -> str:
    "What has none: settings that pay, and those that don't"
    lines = ['| setting | against | times as quick | pays |', '| --- | --- | --- | --- |']
    for row in results.get('cpu_settings', dict(rows=[]))['rows']:
        lines.append(f"| {row['claim']} | {row['against']} | {row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f}) | {'yes' if row['pays'] else 'no'} |")
    return '\n'.join(lines)


def table(file: Path = RESULTS) -> str:
    "All of it"
    results = json.loads(file.read_text(encoding='utf-8'))
    machines = list(dict.fromkeys(machine_line(result['machine']) for result in results.values()))
    return '\n\n'.join([claims(results), settings(results), 'Measured on: ' + '. '.join(machines) + '.']) + '\n'


if __name__ == '__main__': print(table(*map(Path, sys.argv[1:])), end='')
