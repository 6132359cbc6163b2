"What smalldocs writes, with vendored files in place of a CDN, and so that everything is reached by keyboard and named for a screen reader"
import html
import re
from pathlib import Path

SEARCH = ('<div class="site-search" role="search">'
          '<input type="search" class="form-control form-control-sm" placeholder="Search  ( / )" aria-label="Search" '
          'autocomplete="off" role="combobox" aria-expanded="false" aria-controls="search-results" aria-autocomplete="list">'
          '<ul id="search-results" role="listbox" aria-label="Found" hidden></ul><div role="status"></div></div>')
SKIP = '<a class="skip-link" href="#quarto-document-content">Skip to the text</a>'
TOGGLE = ('<button type="button" class="quarto-color-scheme-toggle nav-link" aria-label="Light or dark" onclick="smalldocsToggleScheme()">'
          '<i class="bi" aria-hidden="true"></i></button>')

ANSWERING = ('<link rel="stylesheet" href="{up}assets/answering/page.css">'
             '<script type="module" src="{up}assets/answering.js"></script>')

TEACHING = ANSWERING.replace('answering.js', 'teach/page.js') + '<link rel="stylesheet" href="{up}assets/teach/page.css">'

# What is replaced on every page: a pattern, and what takes its place. A pattern that a page lacks means that smalldocs has changed
EVERYWHERE = [
    (r'<script src="[^"]*fuse\.min\.js"></script>', ''),
    (r'(<nav class="navbar [^"]*") data-bs-theme="dark"', r'\1 aria-label="Site"'),
    (r'<nav class="quarto-secondary-nav">', '<nav class="quarto-secondary-nav" aria-label="Where you are">'),
    (r'<nav id="quarto-sidebar"', '<nav aria-label="Pages" id="quarto-sidebar"'),
    (r'<div id="quarto-margin-sidebar"', '<div role="complementary" aria-label="This page" id="quarto-margin-sidebar"'),
    (r'<a class="quarto-color-scheme-toggle nav-link".*?</a>', TOGGLE),
    (r'<div class="smalldocs-search" id="quarto-search">.*?<div class="smalldocs-search-results dropdown-menu"></div></div>', SEARCH),
    (r'(<body[^>]*>)', r'\1' + SKIP),
]
SOMEWHERE = [
    (r'<img (?![^>]*loading=)', '<img loading="lazy" decoding="async" '), # A notebook's own pictures
    (r'<a class="sidebar-item-text sidebar-link text-start" data-bs-toggle[^>]*>(.*?)</a><a class="sidebar-item-toggle.*?</a>',
     r'<div class="sidebar-item-text sidebar-link">\1</div>'),
    (r'<nav class="page-navigation">', '<nav class="page-navigation" aria-label="Previous and next page">'),
    (r'(<i class="bi[^"]*") role="img"', r'\1 aria-hidden="true"'),
    (r'<button title="Copy to Clipboard"', '<button type="button" title="Copy to Clipboard" aria-label="Copy"'),
    (r'https://cdn\.jsdelivr\.net/npm/katex@[\d.]+/dist', '{up}assets/katex/dist'),
]


def mended(text:str, up:str, name:str) -> str: # HTML
    "One page"
    for pattern, new in EVERYWHERE:
        text, times = re.subn(pattern, new, text, flags=re.DOTALL)
        if times != 1: raise ValueError(f'{name} has {times} places like {pattern}, where smalldocs 0.5.4 writes one')
    for pattern, new in SOMEWHERE: text = re.sub(pattern, new.replace('{up}', up), text, flags=re.DOTALL)
    scripts = ['site.js', *(['live.js'] if 'class="live-widget"' in text else [])]
    loads = ''.join(f'<script defer src="{up}assets/{script}"></script>' for script in scripts)
    for mark, needed in (('class="answering"', ANSWERING), ('class="teaching"', TEACHING)):
        if mark in text: loads += needed.replace('{up}', up)
    return with_hanging_lines(with_fewer_spans(text)).replace('</head>', loads + '</head>', 1)


def with_fewer_spans(text:str) -> str: # HTML
    "Neighbours of one colour in one element, and names of Python's own, which have the text's colour, in none"
    text, changed = re.sub(r'<span class="bu">([^<]*)</span>', r'\1', text), 1
    while changed: text, changed = re.subn(r'(<span class="(\w\w)">[^<]*)</span><span class="\2">', r'\1', text)
    return text


def with_hanging_lines(text:str) -> str: # HTML
    "Lines of Python that a page may have to break go on a little to the right of where they began"
    def hung(line):
        words = html.unescape(re.sub('<[^>]+>', '', line))
        if len(words) < 38 or line.count('<span') != line.count('</span'): return line + '\n'
        return f'<span class="hang" style="--in:{len(words) - len(words.lstrip())}ch">{line}\n</span>'
    def code(block):
        *lines, last = block[2].split('\n')
        return block[1] + ''.join(map(hung, lines)) + (hung(last).replace('\n', '') if last else '') + block[3]
    return re.sub(r'(<code class="sourceCode python">)(.*?)(</code>)', code, text, flags=re.DOTALL)


def anchors(text:str) -> set[str]: return set(re.findall(r'(?<![-\w])id="([^"]+)"', text))


def with_anchors_that_exist(text:str, name:str, known:dict[str, set[str]]) -> str: # HTML
    "A link to an attribute that has no entry leads to the class's entry, or to the page"
    def repaired(link):
        page, anchor = link[1], link[2]
        target = (Path(name).parent/page).as_posix() if page else name
        target = re.sub(r'[^/]+/\.\./', '', target)
        if target not in known or anchor in known[target]: return link[0]
        parent = anchor.rpartition('.')[0]
        return f'href="{page}#{parent}"' if parent in known[target] else f'href="{page}"' if page else link[0]
    return re.sub(r'href="((?![a-z]+:)[^"#]*)#([^"]+)"', repaired, text)


def mend_pages(out:Path):
    "Every page of the site"
    pages = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob('*.html'))}
    texts = {name: mended(path.read_text(encoding='utf-8'), '../'*name.count('/'), name) for name, path in pages.items()}
    known = {name: anchors(text) for name, text in texts.items()}
    for name, path in pages.items(): path.write_text(with_anchors_that_exist(texts[name], name, known), encoding='utf-8')
