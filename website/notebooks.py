"A notebook of the project as a page: its names, its figures, tables and widgets, and the box that says how to run it"
import base64
import hashlib
import html
import io
import json
import posixpath
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import yaml
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NBS = ROOT/'nbs'
REPOSITORY = 'https://github.com/fastbook-notes/fastbook_notes'
SITE = 'https://fastbook-notes.github.io/fastbook_notes/'
COLAB = 'https://colab.research.google.com/github/fastbook-notes/fastbook_notes/blob/main/nbs/'
VIEW, STATE = 'application/vnd.jupyter.widget-view+json', 'application/vnd.jupyter.widget-state+json'
RESULT = 'application/vnd.fastbook-notes.result+json'


def joined(text) -> str:
    "Text that a notebook may hold as lines"
    return text if isinstance(text, str) else ''.join(text)


def without_number(path:Path) -> Path:
    "nbdev's name for a page: `04_mnist_basics.ipynb` becomes `mnist_basics.ipynb`"
    return path.with_name(re.sub(r'^\d+[a-zA-Z0-9]*_', '', path.name.lower()))


@dataclass
class Notebook:
    "A notebook, and the page that it becomes"
    path:Path # Relative to `nbs/`

    @cached_property
    def stored(self) -> dict: return json.loads((NBS/self.path).read_text(encoding='utf-8'))

    @cached_property
    def head(self) -> list[str]: return [line for line in joined(self.stored['cells'][0]['source']).splitlines() if line.strip()]

    @property
    def title(self) -> str: return self.head[0].removeprefix('# ')

    @property
    def subtitle(self) -> str: return next((line[2:] for line in self.head if line.startswith('> ')), '')

    @property
    def source(self) -> str: return without_number(self.path).as_posix() # What the renderer reads, e.g. `mnist_basics.ipynb`

    @property
    def html(self) -> str: return self.source.removesuffix('.ipynb') + '.html'

    @property
    def card(self) -> str: return 'cards/' + self.source.removesuffix('.ipynb') + '.png'

    @property
    def states(self) -> str: return 'widgets/' + self.source.removesuffix('.ipynb') + '.js'

    @property
    def up(self) -> str: return '../'*(len(self.path.parts) - 1) # From the page to the site's root

    @property
    def number(self) -> int|None: # Of a chapter
        found = re.match(r'(\d+)_', self.path.as_posix())
        return int(found[1]) if found else None

    @property
    def label(self) -> str:
        if self.number is not None: return f'Chapter {self.number}'
        if self.path.parent == Path('apps/pages'): return 'App'
        elsewhere = 'Whole package' if self.path.stem != 'index' else ''
        return {'data': 'Data', 'models': 'Models', 'apps': 'Apps'}.get(self.path.parts[0], elsewhere)

    @property
    def module(self) -> str|None: # What it exports to
        code = '\n'.join(joined(cell['source']) for cell in self.stored['cells'] if cell['cell_type'] == 'code')
        found = re.search(r'^#\| *default_exp +(\S+)', code, re.MULTILINE)
        return found and found[1]

    @property
    def outputs(self) -> list[dict]: return [output for cell in self.stored['cells'] for output in cell.get('outputs', [])]

    @property
    def run(self) -> dict: # What tools/store.py noted: data, seconds, versions
        metadata = self.stored['metadata']
        return next((metadata[key]['run'] for key in ('fastbook_notes', 'nbdev') if 'run' in metadata.get(key, {})), {})

    @property
    def minutes(self) -> int: # To read its prose, at 200 words a minute
        return round(sum(len(joined(cell['source']).split()) for cell in self.stored['cells'] if cell['cell_type'] == 'markdown')/200)

    @property
    def data(self) -> str|None: return next((o['data'][RESULT]['data'] for o in self.outputs if RESULT in o.get('data', {})), None)

    @cached_property
    def models(self) -> dict: return self.stored['metadata'].get('widgets', {}).get(STATE, {}).get('state', {})


def all_notebooks() -> list[Notebook]: # Home, chapters, apps, tools
    paths = [p.relative_to(NBS) for p in NBS.rglob('*.ipynb')]
    paths = [p for p in paths if not any(part.startswith(('.', '_')) for part in p.parts)]
    return [Notebook(p) for p in sorted(paths, key=lambda p: (len(p.parts), p != Path('index.ipynb'), p))]


# ---- how to run it

APP_LINES = {'teach': 'fastbook-notes predict my-model photos'} # Of an app that works in its page alone, what is done with what it gives


def run_it(page:Notebook) -> str: # Markdown
    "A line for the terminal, the notebook itself, and what its stored outputs come from"
    name = page.path.stem
    elsewhere = APP_LINES.get(name, f'fastbook-notes app {name}') if page.label == 'App' else 'fastbook-notes lab'
    line = f'fastbook-notes run {page.number}' if page.number is not None else elsewhere
    file = f'{page.up}notebooks/{page.path.as_posix()}'
    parts = ['::: {.run-it}', raw('<h2>Run it</h2>'), f'```bash\npip install fastbook-notes && {line}\n```',
             f'<a href="{file}" download>Download the notebook</a>, or [open it in Colab]({COLAB}{page.path.as_posix()}) '
             'and begin there with `%pip install fastbook-notes`.']
    if line.endswith('lab') and page.label:
        parts.insert(3, f'It opens JupyterLab with a copy of all notebooks; this one is `{page.path.as_posix()}`.')
    if page.number is not None:
        parts.append(f'With the real data in place of the sample: `{line} --data full`, or `--data` and a folder of your own.')
    if page.run: parts.append(ran_with(page))
    if page.number is None: return '\n\n'.join([*parts, ':::'])
    summary = f'Run it: <code>{line}</code> · {page.minutes} minutes to read'
    return '\n\n'.join([parts[0], raw(f'<details><summary>{summary}</summary>'), *parts[2:], raw('</details>'), ':::'])


def ran_with(page:Notebook) -> str:
    "A sentence on the data, time and versions of the stored run"
    versions = ', '.join(f'{name} {version}' for name, version in page.run.get('versions', {}).items())
    data = page.data or f"the {page.run.get('data', 'sample')} data"
    seconds = page.run.get('seconds') or 0
    took = f'{seconds}\u00a0s' if seconds >= 1 else 'less than a second'
    return f'What this page shows was computed in {took} from {data}, with {versions}.'


# ---- cells

def relinked(text:str, page:Notebook) -> str:
    """Links between notebooks by the names that pages get, to the published site as links within it, and to the rest of the repository
    on GitHub"""
    def renamed(link):
        target, anchor = link[1], link[2] or ''
        return f']({without_number(Path(target)).as_posix()}{anchor})'
    def outside(link):
        path = posixpath.normpath(posixpath.join('nbs', page.path.parent.as_posix(), link[1]))
        return link[0] if path.startswith('nbs/') else f']({REPOSITORY}/blob/main/{path}'
    text = re.sub(r'\]\((?![a-z]+:)([^)\s#]+\.ipynb)(#[^)\s]*)?\)', renamed, text)
    text = re.sub(r'\]\((\.\./[^)\s]+)', outside, text)
    def notebook(link): return posixpath.relpath(link[1], page.path.parent.as_posix()) + '.ipynb'
    return re.sub(re.escape(SITE) + r'([^\s)#]*?)\.html', notebook, text)


def front_matter(text:str, page:Notebook) -> str:
    "nbdev's, without what only Quarto reads, and with the social card"
    fields = yaml.safe_load(text.strip().strip('-'))
    fields.pop('output-file', None)
    return f"---\n{yaml.safe_dump({**fields, 'image': page.up + page.card}, sort_keys=False, allow_unicode=True)}---\n"


@cache
def small_picture(
    data:bytes, # PNG or JPEG
) -> tuple[bytes, int, int]: # WebP, width and height
    "A picture as small as it gets without showing it; a preview asks for the same ones again and again"
    image = Image.open(io.BytesIO(data))
    exact, lossy = io.BytesIO(), io.BytesIO()
    image.save(exact, 'webp', lossless=True, method=4)
    image.convert('RGB' if image.mode not in ('RGBA', 'LA', 'P') else 'RGBA').save(lossy, 'webp', quality=90, method=4)
    return min(exact.getvalue(), lossy.getvalue(), key=len), *image.size


def picture_file(data:bytes, page:Notebook, folder:Path) -> tuple[str, int, int]: # Address from the site's root, width and height
    "Write a picture into a file of its own"
    small, width, height = small_picture(data)
    file = Path('figures')/page.source.removesuffix('.ipynb')/f'{hashlib.sha256(data).hexdigest()[:12]}.webp'
    (folder/'static'/file).parent.mkdir(parents=True, exist_ok=True)
    (folder/'static'/file).write_bytes(small)
    return file.as_posix(), width, height


def figure(data:bytes, alt:str, page:Notebook, folder:Path) -> str: # HTML
    "A picture that is fetched when it comes near, and can be enlarged"
    file, width, height = picture_file(data, page, folder)
    return (f'<a class="figure-link" href="{page.up}{file}" title="Enlarge"><img src="{page.up}{file}" alt="{html.escape(alt)}" '
            f'width="{width}" height="{height}" loading="lazy" decoding="async" class="img-fluid figure-img"></a>')


def table(text:str) -> str: # HTML
    "A data frame without pandas' style and empty headings, and with words on the left of their column"
    text = re.sub(r'<style scoped>.*?</style>\s*', '', text, flags=re.DOTALL).replace(' border="1"', '')
    text = re.sub(r'<th([^>]*)>\s*</th>', r'<td\1></td>', text)
    if 'colspan' in text or 'rowspan' in text: return text
    rows = [re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', row, re.DOTALL) for row in re.findall(r'<tr.*?</tr>', text, re.DOTALL)]
    def has_word(cell): return re.search(r'[A-Za-z]{2}', html.unescape(cell))
    wordy = {i for i, column in enumerate(zip(*rows[1:], strict=False)) if any(map(has_word, column))}

    def marked(row):
        places = iter(range(len(rows[0]) + 1))
        return re.sub(r'<(t[hd])>', lambda tag: f'<{tag[1]} class="text">' if next(places) in wordy else tag[0], row[0])
    return re.sub(r'<tr.*?</tr>', marked, text, flags=re.DOTALL)


def first_sentence(text:str) -> str:
    "For the description of a figure"
    plain = re.sub(r'[*_`]|\[([^\]]*)\]\([^)]*\)|\$[^$]*\$', lambda m: m[1] or '', text.strip().split('\n\n')[-1])
    return re.split(r'(?<=[.!?:])\s', ' '.join(plain.split()))[0][:160]


def fig_alt(code:str) -> str|None:
    "What a cell says in `#| fig-alt`"
    found = re.search(r'^#\| *fig-alt: *(.+)$', code, re.MULTILINE)
    return found and found[1].strip('"\' ')


def referred(model:dict) -> list[str]: # Ids
    "The models that a model's state names"
    return re.findall(r'IPY_MODEL_(\w+)', json.dumps(model['state']))


def reachable(model:str, models:dict) -> list[str]: # Ids
    "A widget's model, every model that it is made of, and the links between them, which nothing refers to"
    found, left = [], [model]
    while left:
        if (name := left.pop()) not in found and name in models:
            found.append(name)
            left += referred(models[name])
        if not left:
            links = {id: m for id, m in models.items() if id not in found and m['model_name'].endswith('LinkModel')}
            left = [id for id, m in links.items() if set(found) & set(referred(m))]
    return found


def works_alone(ids:list[str], models:dict) -> bool:
    "Whether a widget has something to do without Python: its own script that sends nothing, or links between its parts"
    scripts = [models[i]['state']['_esm'] for i in ids if '_esm' in models[i]['state']]
    linked = any(models[i]['model_name'].endswith('LinkModel') for i in ids)
    return bool(ids) and (linked or bool(scripts)) and not any('.send(' in script for script in scripts)


ANSWERING = ('cat_or_dog', 'breeds', 'labels') # The pages in which a model answers; see answering.py
NEEDS_PYTHON = 'This widget needs Python, which a web page does not have. Here is what it showed last; it works in the notebook.'


def widget(data:dict, fallback:str, page:Notebook, folder:Path) -> str|None: # Markdown; None if there is nothing to show
    "A place for a widget, filled with what is shown until it works, or where it can't"
    model = data[VIEW]['model_id']
    if model not in page.models and re.search(r'\d+%\|', joined(data.get('text/plain', ''))): return None # A progress bar
    if works_alone(reachable(model, page.models), page.models):
        return f'::: {{.live-widget data-model="{model}" data-models="{page.up}{page.states}"}}\n{fallback}\n:::'
    if page.path.parent == Path('apps/pages') and page.path.stem in ANSWERING:
        place = f'{page.up}assets/answering/{page.path.stem}/'
        return f'::: {{.answering data-folder="{place}"}}\n{last_picture(page, folder) or fallback}\n:::'
    return f'::: {{.still-widget}}\n{last_picture(page, folder) or fallback}\n\n{NEEDS_PYTHON}\n:::'


def raw(text:str) -> str:
    "HTML within Markdown"
    return f'`````{{=html}}\n{text}\n`````'


def last_picture(page:Notebook, folder:Path) -> str: # Markdown; '' if there is none
    "What an app looked like, for its page"
    file = NBS/'images'/f'app_{page.path.stem}.png'
    if page.path.parent != Path('apps/pages') or not file.is_file(): return ''
    return raw(figure(file.read_bytes(), f'The app {page.path.stem.replace("_", " ")}, in a browser', page, folder))


def printed_table(output:dict) -> dict:
    "What a cell printed; if it is a table in Markdown, as a table"
    lines = joined(output.get('text', '')).strip().splitlines()
    if len(lines) < 3 or not all(line.startswith('|') and line.endswith('|') for line in lines): return output
    return {'output_type': 'display_data', 'metadata': {}, 'data': {'text/markdown': '\n'.join(lines)}}


def staged_output(output:dict, alt:str, page:Notebook, folder:Path) -> dict|None:
    "An output as the page shows it"
    data = output.get('data')
    if data is None: return printed_table(output)
    pictures = [figure(base64.b64decode(joined(data[mime])), alt, page, folder) for mime in ('image/png', 'image/jpeg') if mime in data][:1]
    if VIEW in data:
        html_text = raw(joined(data['text/html'])) if 'text/html' in data else ''
        written = relinked(joined(data['text/markdown']), page) if 'text/markdown' in data else html_text
        text = raw(pictures[0]) if pictures else written
        shown = widget(data, text, page, folder)
        return shown and {**output, 'data': {'text/markdown': shown}}
    if 'text/html' in data: return {**output, 'data': {'text/html': table(joined(data['text/html']))}}
    if pictures: return {**output, 'data': {'text/html': pictures[0]}}
    if 'text/markdown' in data: return {**output, 'data': {'text/markdown': relinked(joined(data['text/markdown']), page)}}
    return output


def slug(heading:str) -> str:
    "The anchor that the renderer gives a heading"
    return re.sub(r'[^\w.\- ]', '', heading.lower()).strip().replace(' ', '-')


def apart_from_entries(heading:str, entries:set[str]) -> str:
    "A heading that would get the anchor of an export, such as `## Softmax` beside `softmax`, with one of its own"
    found = re.fullmatch(r'(#+ +)([^\n{]+?)\s*', heading)
    return f'{heading.strip()} {{#about-{slug(found[2])}}}' if found and slug(found[2]) in entries else heading


IMPORTS = '#| code-fold: true\n#| code-summary: "Imports"\n' # What entries.py writes before cells that only import


def stage_notebook(page:Notebook, processed:Path, folder:Path, opening:str=''): # Markdown
    "Write a processed notebook as the renderer is to see it, behind an opening"
    notebook = json.loads((processed/page.path).read_text(encoding='utf-8'))
    cells, prose = [], page.title
    outputs = (output for cell in notebook['cells'] for output in cell.get('outputs', []))
    texts = (joined(output.get('data', {}).get('text/markdown', '')) for output in outputs)
    entries = {anchor for text in texts for anchor in re.findall(r'\{#(\S+) \.entry\}', text)}
    for cell in notebook['cells']:
        text = joined(cell['source'])
        if text.startswith('<!-- WARNING'): continue
        if cell['cell_type'] == 'raw': text = front_matter(text, page)
        if cell['cell_type'] == 'markdown':
            text = apart_from_entries(relinked(text, page), entries)
            if not text.startswith(('#', ':::')): prose = text
        if cell['cell_type'] == 'code':
            alt = fig_alt(text) or f'Figure: {first_sentence(prose)}'
            cell['outputs'] = [shown for output in cell['outputs'] if (shown := staged_output(output, alt, page, folder))]
        if cells and text.startswith(IMPORTS) and cells[-1]['source'].startswith(IMPORTS): # They open together
            cells[-1]['source'] += '\n' + text.removeprefix(IMPORTS)
            continue
        if page.label == 'App' and page.models and cell['cell_type'] == 'code': # Its one line of code is in the notebook
            shown = [data['text/markdown'] for output in cell['outputs'] if 'text/markdown' in (data := output.get('data', {}))]
            heading = [raw('<h2 class="visually-hidden">The app</h2>')]*bool(shown) # For whoever goes from heading to heading
            cell, text = {'cell_type': 'markdown', 'id': cell['id']}, '\n\n'.join(heading + shown)
        kept = {key: value for key, value in cell.items() if key in ('id', 'cell_type', 'outputs', 'execution_count')}
        cells.append({**kept, 'metadata': {}, 'source': text})
    def added(at, *texts):
        cells.insert(at, {'cell_type': 'markdown', 'metadata': {}, 'source': '\n\n'.join(filter(None, texts))})
    if page.label == 'App': added(len(cells), run_it(page)) # First it is tried
    else: added(1 if cells and cells[0]['cell_type'] == 'raw' else 0, opening, run_it(page))
    write_models(page, folder)
    path = folder/page.source
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {'kernelspec': {'language': 'python', 'name': 'python3'}}
    path.write_text(json.dumps({**notebook, 'cells': cells, 'metadata': metadata}), encoding='utf-8')


def write_models(page:Notebook, folder:Path):
    "The state of a page's live widgets as a script, which a page opened from a folder can load too"
    views = [output['data'][VIEW] for output in page.outputs if VIEW in output.get('data', {})]
    ids = [id for view in views for id in reachable(view['model_id'], page.models)]
    if not ids: return
    path = folder/'static'/page.states
    path.parent.mkdir(parents=True, exist_ok=True)
    state = json.dumps({id: page.models[id] for id in dict.fromkeys(ids)}, sort_keys=True, separators=(',', ':'))
    path.write_text(f'window.widgetModels = {state};\n', encoding='utf-8')
