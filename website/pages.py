"Pages and pictures that no notebook holds: all exports, licences, social cards"
import ast
import json
from configparser import ConfigParser
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from notebooks import HERE, REPOSITORY, ROOT, SITE, Notebook


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
            'description: Every name that `pip install fastbook-notes` brings, by the notebook that it comes from', '---']
    for page in pages:
        if not page.module or not module_file(page.module).exists() or not (rows := definitions(page.module)): continue
        text += ['', f'## {page.title}', '', f'`fastbook_notes.{page.module}`, made from [{page.path.as_posix()}]({page.source})', '',
                 '| Name | What it is |', '| :-- | :-- |']
        text += [f'| [`{name}`]({page.source}#{name.lower()}) | {line.replace("|", chr(92) + "|")} |' for name, line in rows]
    return '\n'.join(text) + '\n'


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


def licences_page() -> str: # Markdown
    "Whose work the pages use"
    rows = [f"| {package['name']} {package['version']} | {package['for']} | {package['licence']} |" for package in front_end()]
    return '\n'.join(['---', 'title: Licences', 'description: Whose work these pages use', '---', '',
                      f"The notes and the package are under the licence [{settings()['license']}]({REPOSITORY}/blob/main/LICENSE). "
                      'The pages are rendered by',
                      '[smalldocs](https://github.com/rahuldave/smalldocs) (MIT) and use these front-end files:', '',
                      '| Package | For | Licence |', '| :-- | :-- | :-- |', *rows, ''])


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
