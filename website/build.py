"""Build the website into `_docs/` from the notebooks as they are stored: `python website/build.py`, or with `--preview` serve it
and follow changes.

nbdev processes the notebooks, smalldocs renders them, and what is left is done here, a function for each step. Nothing is trained, nothing
is written into `nbs/`, and once npm has put the front-end files into `website/node_modules` nothing is fetched."""
import argparse
import hashlib
import html
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import yaml

from notebooks import HERE, NBS, ROOT, Notebook, all_notebooks, stage_notebook
from pages import REPOSITORY, SITE, exports_page, front_end, home, licences_page, overviews, settings, social_card

OUT, MODULES = ROOT/'_docs', HERE/'node_modules'


class BuildError(Exception):
    "Something that the person who builds the site can fix, in one line"


def fetch_front_end():
    "Let npm install what package-lock.json names, unless it has"
    done, wanted = MODULES/'.installed', hashlib.sha256((HERE/'package-lock.json').read_bytes()).hexdigest()
    if done.exists() and done.read_text() == wanted: return
    npm = shutil.which('npm')
    if not npm:
        raise BuildError('the front-end files are missing, and so is npm, which fetches them; install Node.js 18 or newer and build again.')
    if subprocess.run([npm, 'ci', '--no-progress'], cwd=HERE, stdout=subprocess.DEVNULL).returncode:
        raise BuildError("npm couldn't fetch the front-end files, for the reason above; connect to a network and build again.")
    done.write_text(wanted)


def process(force:bool=False) -> Path: # The folder of the processed notebooks
    "Let nbdev add entries and links; notebooks that have not changed since the last time are left alone"
    import nbdev.serve

    from entries import SiteFilter
    nbdev.serve.FilterDefaults = SiteFilter
    os.chdir(ROOT)
    last = ROOT/'_proc'
    sources = [HERE/'entries.py', *(ROOT/'fastbook_notes').rglob('[!_]*.py')]
    changed = last.exists() and max(p.stat().st_mtime for p in sources) > last.stat().st_mtime
    return Path(nbdev.serve.proc_nbs(n_workers=0, force=force or changed)) # In one process: others would have to import fastai anew


def stage(processed:Path, folder:Path, pages:list[Notebook]):
    "Write the project that smalldocs renders, and beside it in `static/` what it would not copy"
    with ThreadPoolExecutor() as pool: # Pillow writes several pictures at once
        def opening(page): return home(pages, folder) if page.source == 'index.ipynb' else ''
        list(pool.map(lambda page: stage_notebook(page, processed, folder, opening(page)), pages))
    def is_hidden(path): return any(part.startswith(('.', '_')) for part in path.relative_to(NBS).parts)
    pictures = [p for p in NBS.rglob('*') if p.suffix in ('.png', '.jpg', '.svg', '.webp', '.gif') and not is_hidden(p)]
    for path in pictures:
        (folder/path.relative_to(NBS)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder/path.relative_to(NBS))
    shutil.copyfile(HERE/'favicon.svg', folder/'favicon.svg')
    (folder/'exports.md').write_text(exports_page(pages), encoding='utf-8')
    (folder/'licences.md').write_text(licences_page(), encoding='utf-8')
    for name, text in overviews(pages, folder).items(): (folder/name).write_text(text, encoding='utf-8')
    (folder/'styles.css').write_text((NBS/'styles.css').read_text() + (HERE/'site.css').read_text())
    (folder/'_quarto.yml').write_text(yaml.safe_dump(site_config(pages), sort_keys=False), encoding='utf-8')


def site_config(pages:list[Notebook]) -> dict:
    "nbs/_quarto.yml with the names that pages get, without what is not there, and with the pages that only this build has"
    config = yaml.safe_load((NBS/'_quarto.yml').read_text(encoding='utf-8'))
    names = {page.path.as_posix(): page.source for page in pages}
    website = config['website']

    def present(entries):
        for entry in entries:
            if isinstance(entry, str):
                if entry in names: yield names[entry]
            elif 'section' in entry:
                inside = entry['contents']
                inside = [n for n in names if Path(n).match(inside)] if isinstance(inside, str) else inside
                if inside := list(present(inside)): yield {**entry, 'contents': inside}
            elif not entry['href'].endswith('.ipynb') or entry['href'] in names:
                yield {**entry, 'href': names.get(entry['href'], entry['href'])}

    exports = {'text': 'All exports', 'href': 'exports.md'}
    website['sidebar']['contents'] = [*present(website['sidebar']['contents']), exports]
    tops = [{**entry, 'href': f"all-{entry['text'].lower()}.md"} for entry in website['navbar']['left']] # Overviews
    website['navbar']['left'] = [*tops, exports]
    website.update({'site-url': SITE, 'repo-url': REPOSITORY, 'repo-branch': 'main',
                    'favicon': 'favicon.svg', 'description': settings()['description']})
    website['page-footer'] = {'left': f"fastbook_notes {settings()['version']}, {settings()['license']}",
                              'right': '[Licences](/licences.md) · [The pages as Markdown](/llms.txt)'}
    del config['metadata-files'], config['format']['commonmark']
    config['project']['output-dir'] = 'site'
    return config


def render(folder:Path) -> list[str]: # Warnings
    "Let smalldocs write the pages"
    import smalldocs.highlight
    from smalldocs.site import build
    smalldocs.highlight.css_class = cache(smalldocs.highlight.css_class) # There are few kinds of tokens, and many tokens
    return build(folder, quiet=True).warnings


def copy_front_end(out:Path):
    "The vendored files into `assets/`, each package in a folder of its own, and our own scripts"
    for package in front_end():
        target = out/'assets'/package['name'].rpartition('/')[2]
        for pattern in package['files']:
            found = sorted(package['folder'].glob(pattern))
            if not found: raise BuildError(f"{package['name']} has no file {pattern}; correct website/front_end.json.")
            for path in found:
                (target/path.relative_to(package['folder'])).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target/path.relative_to(package['folder']))
    for name in ('site.js', 'live.js', 'answering.js'): shutil.copyfile(HERE/name, out/'assets'/name)
    shutil.copytree(HERE/'teach', out/'assets'/'teach')


def copy_static(folder:Path, out:Path, pages:list[Notebook]):
    "Figures, widget states, cards and the notebooks themselves"
    if (folder/'static').exists(): shutil.copytree(folder/'static', out, dirs_exist_ok=True)
    (out/'cards').mkdir()
    for page in pages:
        (out/'notebooks'/page.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(NBS/page.path, out/'notebooks'/page.path)
        (out/page.card).parent.mkdir(parents=True, exist_ok=True)
        social_card(page.title, page.subtitle, page.label).save(out/page.card)
    icon = f"data:image/svg+xml,{quote((HERE/'favicon.svg').read_text(encoding='utf-8'))}" # No address holds at any depth
    (out/'404.html').write_text((HERE/'404.html').read_text(encoding='utf-8').replace('FAVICON', icon), encoding='utf-8')
    (out/'.nojekyll').touch()


def write_search_index(out:Path):
    "What is searched, and what searches, in one script, which a page opened from a folder can load too"
    found = json.loads((out/'search.json').read_text(encoding='utf-8'))
    entries = [[e['href'], e['title'], e['section'], re.sub(r'\s+', ' ', e['text']).removeprefix('source ')] for e in found]
    index = json.dumps(entries, ensure_ascii=False, separators=(',', ':'))
    engine = (out/'assets'/'minisearch'/'dist'/'umd'/'index.js').read_text(encoding='utf-8')
    # In a function of its own, since a page may have an AMD loader
    aside = f'window.MiniSearch = ((module, exports) => {{\n{engine}\nreturn module.exports; }})({{}}, {{}});'
    (out/'assets'/'search-index.js').write_text(f'{aside}\nwindow.searchIndex = {index};\n', encoding='utf-8')
    shutil.rmtree(out/'assets'/'minisearch'/'dist')
    (out/'search.json').unlink()
    shutil.rmtree(out/'site_libs'/'fuse')


def list_external_links(out:Path):
    "Every address elsewhere that a page leads to, a line each, for the job that checks them"
    texts = (path.read_text(encoding='utf-8') for path in out.rglob('*.html'))
    found = {html.unescape(link) for text in texts for link in re.findall(r'href="(https?://[^"#]+)', text)}
    (out/'external-links.txt').write_text('\n'.join(sorted(link for link in found if not link.startswith(SITE))) + '\n', encoding='utf-8')


def mend_sitemap(out:Path):
    "The sitemap without times, which are those of the build"
    path = out/'sitemap.xml'
    path.write_text(re.sub(r'\s*<lastmod>.*?</lastmod>', '', path.read_text(encoding='utf-8')), encoding='utf-8')


def mend_twins(out:Path):
    "HTML in the Markdown copies of pages, without the marks that the renderer wants around it"
    for path in out.rglob('*.llms.md'):
        path.write_text(re.sub(r'`````\{=html\}\n(.*?)\n`````', r'\1', path.read_text(encoding='utf-8'), flags=re.DOTALL), encoding='utf-8')


def keep_used_icons(out:Path):
    "Of two thousand icons, those that a page or a style names, in the style and in the font"
    from fontTools import subset
    logging.getLogger('fontTools').setLevel(logging.ERROR)
    texts = (path.read_text(encoding='utf-8') for pattern in ('*.html', '*.js', 'smalldocs.css') for path in out.rglob(pattern))
    used = {name for text in texts for name in re.findall(r'\bbi-([\w-]+)', text)}
    path = out/'site_libs'/'bootstrap-icons'/'bootstrap-icons.min.css'
    rules = path.read_text(encoding='utf-8')
    kept = re.sub(r'\.bi-([\w-]+)::before\{content:"[^"]*"\}', lambda rule: rule[0] if rule[1] in used else '', rules)
    kept = re.sub(r'url\("fonts/bootstrap-icons\.woff2\?\w+"\) format\("woff2"\),', '', kept)
    path.write_text(kept, encoding='utf-8')
    options, fonts = subset.Options(flavor='woff'), path.parent/'fonts'
    font = subset.load_font(fonts/'bootstrap-icons.woff', options)
    smaller = subset.Subsetter(options)
    styles = kept + ''.join(file.read_text(encoding='utf-8') for file in out.rglob('smalldocs.css'))
    smaller.populate(unicodes=[int(code, 16) for code in re.findall(r'content: ?"\\([0-9a-f]+)"', styles)])
    smaller.subset(font)
    subset.save_font(font, fonts/'bootstrap-icons.woff', options)
    (fonts/'bootstrap-icons.woff2').unlink()


def mend_styles(out:Path):
    "Styles without fonts from other hosts"
    for path in out.glob('site_libs/**/*.css'):
        text = path.read_text(encoding='utf-8')
        path.write_text(re.sub(r'@import\s+(url\([^)]*\)|"[^"]*"|\'[^\']*\')\s*;', '', text), encoding='utf-8')


def write_redirects(out:Path):
    "A page at each address that a page once had, which leads to where it is now"
    for old, new in json.loads((HERE/'redirects.json').read_text(encoding='utf-8')).items():
        if not (out/new).is_file(): continue # Of a site with fewer pages; a test looks at all of them
        there = '../'*old.count('/') + new
        (out/old).parent.mkdir(parents=True, exist_ok=True)
        (out/old).write_text(f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Moved</title>\n'
                             f'<link rel="canonical" href="{SITE}{new}">\n<meta http-equiv="refresh" content="0; url={there}">\n'
                             f'<p>This page is now <a href="{there}">{new}</a>.</p>\n</html>\n', encoding='utf-8')


def finish(folder:Path, out:Path, pages:list[Notebook]):
    "Everything between smalldocs and a site that needs nobody else"
    from answering import copy_models
    from postprocess import mend_pages
    mend_pages(out)
    mend_styles(out)
    keep_used_icons(out)
    mend_sitemap(out)
    mend_twins(out)
    copy_front_end(out)
    copy_models(out/'assets'/'answering')
    write_search_index(out)
    copy_static(folder, out, pages)
    list_external_links(out)
    write_redirects(out)


def replace(new:Path, old:Path):
    "Put a finished site where the last one was"
    if old.exists(): shutil.rmtree(old)
    shutil.move(new, old)


def build(out:Path=OUT, force:bool=False) -> list[str]: # What smalldocs warned of
    "All steps"
    fetch_front_end()
    pages = all_notebooks()
    processed = process(force)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stage(processed, folder, pages)
        warnings = render(folder)
        finish(folder, folder/'site', pages)
        replace(folder/'site', out)
    return warnings


RELOAD = ('<script>(async () => { for (let seen = null;;) { await new Promise((done) => setTimeout(done, 700)); '
          'const now = await fetch("/__smalldocs__/version").then((said) => said.text(), () => seen); '
          'if (seen !== null && now !== seen) location.reload(); seen = now; } })();</script>')


def build_preview(changed:list[str]) -> bool: # Whether that went well
    "Build in a process of its own, which reads the modules anew, so that open pages load again; changed notebooks write theirs first"
    from nbdev.export import nb_export
    from smalldocs.serve import Handler
    for name in changed:
        if name.endswith('.ipynb') and Path(name).exists(): nb_export(name, lib_path=ROOT/'fastbook_notes')
    if subprocess.run([sys.executable, __file__]).returncode: return False # It has said why
    for page in OUT.rglob('*.html'):
        text = page.read_text(encoding='utf-8')
        page.write_text(text.replace('</body>', RELOAD + '</body>', 1), encoding='utf-8')
    Handler.version += 1
    return True


def preview(port:int):
    "Serve the site on this machine only, and build again when a notebook, a module or a file of the website changes"
    import functools
    import threading
    from http.server import ThreadingHTTPServer

    from smalldocs.serve import Handler, snapshot
    def watched(): return {name: at for folder in (NBS, HERE, ROOT/'fastbook_notes') for name, at in snapshot(folder, OUT).items()}
    if not build_preview([]): return
    server = ThreadingHTTPServer(('127.0.0.1', port), functools.partial(Handler, directory=str(OUT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f'http://127.0.0.1:{server.server_port}/ shows the site; Ctrl-C ends it.', flush=True)
    seen = watched()
    while True:
        time.sleep(0.5)
        now = watched()
        changed = sorted(name for name in now.keys() | seen.keys() if now.get(name) != seen.get(name))
        if not changed: continue
        names = ', '.join(os.path.relpath(name, ROOT) for name in changed[:3])
        try: done = build_preview(changed)
        except Exception as e: # For example a notebook that is half written
            print(e, file=sys.stderr)
            done = False
        print(time.strftime('%H:%M:%S'), 'built' if done else 'not built', 'after a change of', names, flush=True)
        seen = watched()


def main():
    parser = argparse.ArgumentParser(description='Build the website into _docs/.')
    parser.add_argument('--out', type=Path, default=OUT, help='another folder')
    parser.add_argument('--force', action='store_true', help='process every notebook again')
    parser.add_argument('--preview', action='store_true', help='serve it, and build again when something changes')
    parser.add_argument('--port', type=int, default=4200)
    options = parser.parse_args()
    if missing := [name for name in ('nbdev', 'smalldocs', 'anywidget') if not find_spec(name)]:
        sys.exit(f"website: {', '.join(missing)} not installed; `pip install -r website/requirements.txt` brings what the build needs.")
    if options.preview:
        try: return preview(options.port)
        except KeyboardInterrupt: return
    start = time.perf_counter()
    try: warnings = build(options.out.absolute(), options.force)
    except BuildError as e: sys.exit(f'website: {e}')
    for warning in warnings: print(f'warning: {warning}', file=sys.stderr)
    print(f'{options.out} is built, in {time.perf_counter() - start:.0f} s')


if __name__ == '__main__': main()
