"Pages and pictures that no notebook holds: overviews, all exports, licences, social cards"
import ast
import base64
import html
import json
from configparser import ConfigParser
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from notebooks import HERE, NBS, REPOSITORY, ROOT, SITE, VIEW, Notebook, joined, picture_file, raw


@cache
def settings() -> dict:
    "settings.ini, the home of the metadata"
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    return ini['DEFAULT']


# ---- all exports

def module_file(
    module:str, # For example `data.datasets`
) -> Path:
    "The file of a module of the package"
    return ROOT/'fastbook_notes'/f'{module.replace(".", "/")}.py'


def definitions(module:str) -> list[tuple[str, str]]: # Name and first line of its docstring
    "What a module exports, its public methods after each class"
    tree = ast.parse(module_file(module).read_text(encoding='utf-8'))
    assigned = (node for node in tree.body if isinstance(node, ast.Assign))
    exported = next((ast.literal_eval(node.value) for node in assigned if node.targets[0].id == '__all__'), [])
    defined = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    rows = []
    for name in exported:
        node = defined.get(name)
        rows.append((name, said(node) if node else 'A constant'))
        if isinstance(node, ast.ClassDef):
            methods = (m for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith('_') and not m.decorator_list)
            rows += [(f'{name}.{m.name}', said(m)) for m in methods if said(m)]
    return rows


def said(node) -> str: return (ast.get_docstring(node) or '').partition('\n')[0]


def exports_page(pages:list[Notebook]) -> str: # Markdown
    "Every name that the package exports, with a line on each"
    text = ['---', 'title: All exports',
            'description: Every name that `pip install fastbook-notes` brings, by the notebook that defines it', '---']
    for page in pages:
        if not page.module or not module_file(page.module).exists() or not (rows := definitions(page.module)): continue
        text += ['', f'## {page.title}', '', f'`fastbook_notes.{page.module}`, made from [{page.path.as_posix()}]({page.source})', '',
                 '| Name | What it is |', '| :-- | :-- |']
        text += [f'| [`{name}`]({page.source}#{name.lower()}) | {line.replace("|", chr(92) + "|")} |' for name, line in rows]
    return '\n'.join(text) + '\n'


# ---- overviews

def first_picture(page:Notebook, folder:Path) -> str: # HTML, '' if there is none
    "What a card shows of a page: an app as it looked, or the first figure"
    app = NBS/'images'/f'app_{page.path.stem}.png'
    stored = (joined(o['data']['image/png']) for o in page.outputs if 'image/png' in o.get('data', {}))
    data = app.read_bytes() if app.is_file() else next(map(base64.b64decode, stored), None)
    return f'<img src="{picture_file(data, page, folder)[0]}" alt="" loading="lazy" decoding="async">' if data else ''


def card(page:Notebook, folder:Path) -> str: # HTML
    "A page as a picture, a title and a sentence, all of it a link"
    title = page.title if page.number is None else f'{page.number}. {page.title}'
    minutes = '' if page.number is None else f'<small>{page.minutes} minutes to read</small>'
    return (f'<a class="page-card" href="{page.html}">{first_picture(page, folder)}<b>{html.escape(title)}</b>'
            f'<span>{html.escape(page.subtitle.replace("`", ""))}</span>{minutes}</a>')


def cards(pages:list[Notebook], folder:Path) -> str: # Markdown
    return raw('<div class="page-cards">' + ''.join(card(page, folder) for page in pages) + '</div>')


def overviews(pages:list[Notebook], folder:Path) -> dict[str, str]: # Markdown by file name
    "A page each for what the bar at the top names"
    chapters, apps = [page for page in pages if page.number is not None], [page for page in pages if page.label == 'App']
    labels = 'Data', 'Models', 'Apps', 'Whole package'
    rooms = {label: [page for page in pages if page.label == label] for label in labels}
    tools = '\n\n'.join(f'## {label}\n\n{cards(inside, folder)}' for label, inside in rooms.items() if inside)
    made = {'all-chapters.md': ('Chapters', 'Six chapters, each a notebook, shown as it ran', cards(chapters, folder)),
            'all-apps.md': ('Apps', 'Prototypes that grow from the chapters, in the page or on your own machine', cards(apps, folder)),
            'all-tools.md': ('Tools', 'What the chapters and apps are built on, by room', tools)}
    return {name: f'---\ntitle: {title}\ndescription: {about}\ntoc: false\n---\n\n{text}\n'
            for name, (title, about, text) in made.items()}


def home(pages:list[Notebook], folder:Path) -> str: # Markdown, '' for a site without chapters or the pad
    "What the first screen shows: something that answers, and the chapters"
    by_path, chapters = {page.path.as_posix(): page for page in pages}, [page for page in pages if page.number is not None]
    pad = by_path.get('apps/pages/digit_pad.ipynb')
    view = next((output['data'][VIEW]['model_id'] for output in pad.outputs if VIEW in output.get('data', {})), '') if pad else ''
    if not view or not chapters: return ''
    live = f'::: {{.live-widget data-model="{view}" data-models="{pad.states}"}}\n{raw(first_picture(pad, folder))}\n:::'
    photo = '::: {.answering data-folder="assets/answering/cat_or_dog/"}\nIt needs a browser with JavaScript.\n:::'
    asked = 'Cat or dog? A model answers in this page. You can also [teach one](apps/pages/teach.ipynb) what you like.'
    return (f'## Show it a photo\n\n{asked}\n\n{photo}\n\n'
            f'## Draw a digit\n\nTwo models from [chapter 4](mnist_basics.ipynb) answer, in this page.\n\n{live}\n\n'
            f'## Six chapters\n\n{cards(chapters, folder)}')


# ---- licences

def front_end() -> list[dict]: # With `folder` and `version`
    "The front-end packages of front_end.json, and where each is installed"
    locked = json.loads((HERE/'package-lock.json').read_text(encoding='utf-8'))['packages']
    vendor = Path(find_spec('smalldocs').origin).parent/'assets'/'vendor'
    places = {'npm': lambda name: HERE/'node_modules'/name, 'smalldocs': lambda name: vendor/name,
              'python': lambda name: Path(find_spec(name).origin).parent}
    listed = json.loads((HERE/'front_end.json').read_text(encoding='utf-8'))
    def installed(name): return locked.get(f'node_modules/{name}', {}).get('version', '')
    return [{**package, 'folder': places[package['from']](package['name']), 'version': installed(package['name'])} for package in listed]


SKIMAGE, SKLEARN = 'scikit-image', 'scikit-learn'
BY = '[CC BY 2.0](https://creativecommons.org/licenses/by/2.0/)'
PHOTOS = (
    (f'the cat Chelsea, the clock ({SKIMAGE})', 'Stéfan van der Walt', 'CC0'),
    (f'coffee ({SKIMAGE})', 'Rachel Michetti', 'CC0'),
    (f'the astronaut Eileen Collins ({SKIMAGE})', 'not named', 'public domain'),
    (f'the rocket ({SKIMAGE})', 'SpaceX', 'public domain'),
    (f'bricks ({SKIMAGE})', 'CC0Textures', 'CC0'),
    (f'coins ({SKIMAGE})',
     '[Brooklyn Museum](https://www.brooklynmuseum.org/opencollection/archives/image/51611)', 'no known restrictions'),
    (f'the moon, the page ({SKIMAGE})', 'not named', 'as the package, BSD'),
    (f'the motorcycle ({SKIMAGE})',
     '[Scharstein and others, 2014](https://vision.middlebury.edu/stereo/data/scenes2014/)', 'as the package, BSD'),
    (f'the temple, china.jpg ({SKLEARN})', '[danielbuechele](https://www.flickr.com/photos/danielbuechele/6061409035/)', BY),
    (f'the flower, flower.jpg ({SKLEARN})', '[vultilion](https://www.flickr.com/photos/vultilion/6056698931/)', BY),
)


def licences_page() -> str: # Markdown
    "Whose work the pages use"
    rows = [f"| {package['name']} {package['version']} | {package['for']} | {package['licence']} |" for package in front_end()]
    return '\n'.join(['---', 'title: Licences', 'description: Whose work these pages use', '---', '',
                      f"The notes and the package are under the licence [{settings()['license']}]({REPOSITORY}/blob/main/LICENSE). "
                      'The pages are rendered by',
                      '[smalldocs](https://github.com/rahuldave/smalldocs) (MIT) and use these front-end files:', '',
                      '| Package | For | Licence |', '| :-- | :-- | :-- |', *rows, '', '## Photos', '',
                      'The pictures of pets, scenes and digits are drawn or come from the data sets that the pages name. The photos that',
                      'the pages show or offer to try come with two packages:', '', '| Photo | By | Licence |', '| :-- | :-- | :-- |',
                      *(f'| {photo} | {by} | {licence} |' for photo, by, licence in PHOTOS), ''])


# ---- social cards

def font(size:int, bold:bool=False):
    "The font that matplotlib brings"
    fonts = Path(find_spec('matplotlib').origin).parent/'mpl-data'/'fonts'/'ttf'
    return ImageFont.truetype(fonts/('DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'), size)


def wrapped(text:str, type, width:int) -> list[str]: # Lines
    lines = ['']
    for word in text.split():
        longer = f'{lines[-1]} {word}'.strip()
        if type.getlength(longer) <= width: lines[-1] = longer
        else: lines.append(word)
    return lines


def social_card(title:str, subtitle:str, label:str) -> Image.Image: # 1200 x 630
    "What is shown where somebody links to a page"
    card = Image.new('RGB', (1200, 630), '#12324a')
    draw = ImageDraw.Draw(card)
    draw.rectangle((0, 0, 24, 630), fill='#f0a63a')
    draw.text((90, 70), label or settings()['lib_path'], font=font(34), fill='#f0a63a')
    y = 135
    for line in wrapped(title, font(76, bold=True), 1020):
        draw.text((90, y), line, font=font(76, bold=True), fill='white')
        y += 92
    y += 20
    for line in wrapped(subtitle, font(38), 1020)[:4]:
        draw.text((90, y), line, font=font(38), fill='#d5e3ee')
        y += 54
    draw.text((90, 540), SITE.removeprefix('https://').rstrip('/'), font=font(30), fill='#9db8cc')
    return card.quantize(32)
