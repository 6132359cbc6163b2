"Execute the notebooks of this checkout on the sample, store their outputs, and write README.md: `python tools/store.py [NOTEBOOK]...`"
import argparse
import hashlib
import json
import posixpath
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbdev.clean import clean_nb
from traitlets.config import Config

from fastbook_notes.chapters import Run, execute
from fastbook_notes.data.datasets import DATASETS, get_dataset
from fastbook_notes.files import atomic_file

ROOT = Path(__file__).resolve().parent.parent

_VERSIONS = ('fastai', 'torch', 'timm', 'pandas', 'numpy', 'pillow')


def _is_litter(
    output, # Of a cell
) -> bool:
    "Whether an output is a finished progress bar, the style of one, or an empty line of rich, and nothing else"
    data = output.get('data', {})
    if 'application/vnd.jupyter.widget-view+json' in data: return bool(re.search(r'\d+%\|', data.get('text/plain', '')))
    html = ''.join(data.get('text/html', ' '))
    if output.output_type != 'display_data' or 'text/html' not in data or re.search('<(img|svg|canvas|input|button)', html): return False
    return not re.sub(r'<style>.*?</style>|<[^>]+>', '', html, flags=re.DOTALL).strip()


def code_digest(
    notebook, # As nbformat reads it
) -> str: # Hexadecimal
    "A digest of all code cells' sources"
    sources = [cell.source for cell in notebook.cells if cell.cell_type == 'code']
    return hashlib.sha256('\0'.join(sources).encode()).hexdigest()[:16]


_VIEW, _STATE = 'application/vnd.jupyter.widget-view+json', 'application/vnd.jupyter.widget-state+json'


def _shown_widgets(
    notebook, # Executed, as nbclient leaves it
) -> dict: # To be added to the notebook's metadata; empty if no widget is shown
    "The states of the widgets that the outputs show, by ids that are the same each time"
    stored = notebook.metadata.get('widgets', {}).get(_STATE, {}).get('state', {})
    views = [output['data'][_VIEW] for cell in notebook.cells for output in cell.get('outputs', []) if _VIEW in output.get('data', {})]
    refers = {id: set(re.findall(r'IPY_MODEL_(\w+)', json.dumps(model['state']))) for id, model in stored.items()}
    left, names = [view['model_id'] for view in views], {}
    while left:
        if (old := left.pop(0)) not in names and old in stored:
            names[old] = f'widget{len(names)}'
            left += sorted(refers[old] & set(stored), key=list(stored).index)
        if not left:
            left = [id for id in stored if id not in names and stored[id]['model_name'].endswith('LinkModel') and refers[id] & set(names)]
    if not names: return {}
    for view in views: view['model_id'] = names.get(view['model_id'], view['model_id'])
    kept = json.dumps({new: stored[old] for old, new in names.items()})
    for old, new in names.items(): kept = kept.replace(f'IPY_MODEL_{old}', f'IPY_MODEL_{new}')
    return {'widgets': {_STATE: {'version_major': 2, 'version_minor': 0, 'state': json.loads(kept)}}}


def store_outputs(
    path:Path, # A notebook in a checkout
    on_cell:Callable=lambda done, of: None, # Called with how many code cells are done, of how many
) -> Run: # If it failed, the notebook is as it was
    "Execute a notebook on the sample and store its outputs in it"
    notebook = nbformat.read(path, as_version=4)
    run = execute(notebook, path.stem, 'sample', path.parent, on_cell)
    if run.failure: return run
    for cell in notebook.cells:
        if cell.cell_type == 'code': cell.outputs = [output for output in cell.outputs if not _is_litter(output)]
    widgets = _shown_widgets(notebook)
    clean_nb(notebook)
    notebook.metadata = {'kernelspec': {'display_name': 'python3', 'language': 'python', 'name': 'python3'},
                         'fastbook_notes': {'run': {'code': code_digest(notebook), 'data': 'sample', 'seconds': round(run.seconds),
                                           'versions': {name: version(name) for name in _VERSIONS}}}, **widgets}
    with atomic_file(path) as part: part.write_text(nbformat.writes(notebook) + '\n', encoding='utf-8', newline='\n')
    return run


def _directives(
    cell, # Of a notebook
) -> set[str]:
    "What a code cell asks for in its first lines, for example `hide`"
    return {line.removeprefix('#|').strip() for line in cell.source.splitlines() if cell.cell_type == 'code' and line.startswith('#|')}


def _for_readme(
    cell, # Of a notebook
):
    "The cell without its directives, and without its source if that isn't to be shown"
    if cell.cell_type != 'code': return cell
    if 'echo: false' in _directives(cell): cell.metadata.tags = ['no-source']
    cell.source = '\n'.join(line for line in cell.source.splitlines() if not line.startswith('#|'))
    return cell


def readme_of(
    notebook, # The home page, as nbformat reads it
    folder:str, # Where the notebook lies, seen from the README
) -> tuple[str, dict[str, bytes]]: # Markdown, and the pictures by file name
    "A notebook as a README"
    config = Config(TagRemovePreprocessor=dict(enabled=True, remove_input_tags={'no-source'}))
    notebook.metadata.language_info = {'name': 'python'}
    notebook.cells = [_for_readme(cell) for cell in notebook.cells if 'hide' not in _directives(cell)]
    text, resources = MarkdownExporter(config=config).from_notebook_node(notebook,
        resources={'output_files_dir': f'{folder}/images', 'unique_key': 'index'})
    text = re.sub(r'\]\((?![a-z]+:|#|' + re.escape(folder) + r'/images/)([^)\s]+)\)',
                  lambda link: '](' + posixpath.normpath(f'{folder}/{link[1]}') + ')', text)
    return re.sub(r'\n(?: *\n){2,}', '\n\n', text).strip() + '\n', {Path(name).name: data for name, data in resources['outputs'].items()}


def write_readme(
    root:Path, # A checkout
):
    "Write `README.md` and its pictures from `nbs/index.ipynb`"
    text, pictures = readme_of(nbformat.read(root/'nbs'/'index.ipynb', as_version=4), 'nbs')
    for name, data in pictures.items():
        (root/'nbs'/'images').mkdir(exist_ok=True)
        (root/'nbs'/'images'/name).write_bytes(data)
    with atomic_file(root/'README.md') as part: part.write_text(text, encoding='utf-8', newline='\n')


def stored_notebooks(
    folder:Path, # nbs/ of a checkout
) -> dict[str, Path]: # By name, e.g. `data/datasets`
    "All notebooks in the order in which they are executed: what the chapters stand on first; last the home page, which shows their results"
    paths = [p for p in folder.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts]
    paths = sorted(paths, key=lambda p: (p.stem == 'index', p.parent == folder, p))
    return {p.relative_to(folder).with_suffix('').as_posix(): p for p in paths}


def main():
    parser = argparse.ArgumentParser(description='Execute notebooks on the sample, store their outputs, and write README.md.')
    parser.add_argument('names', nargs='*', metavar='NOTEBOOK', help='for example 04_mnist_basics or data/datasets; all if none is given')
    paths = stored_notebooks(ROOT/'nbs')
    names = parser.parse_args().names or list(paths)
    if unknown := [name for name in names if name not in paths]:
        sys.exit(f"There is no notebook {unknown[0]}; there are {', '.join(paths)}.")
    for name in DATASETS: get_dataset(name, 'sample')
    failed = 0
    for name in names:
        run = store_outputs(paths[name])
        failed += bool(run.failure)
        print(f'{name}: {run.failure or f"{run.seconds:.0f} s"}', flush=True)
    if failed: sys.exit(1)
    write_readme(ROOT)


if __name__ == '__main__': main()
