"A page that is published: its files, and what it answers in a real Chromium, from a server below a path and without one."
import functools
import http.server
import io
import json
import threading
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from conftest import LOCAL, ROOT, complains, not_here
from fastbook_notes.data.pictures import open_picture
from odd_pictures import clear_corner, encoded, exif, scene, sixteen
from small_models import model, pets, picture, small_learner, vision  # noqa: F401

WAIT, SCREENS = 60_000, ROOT/'_run'/'screens'/'published'
SAME = 0.02 # In probability


@dataclass
class Page:
    predictor:object
    folder:object # Its files
    said:list # While it was made


@pytest.fixture(scope='module')
def site(tmp_path_factory, model): # noqa: F811
    "Three pages: one of words, one with several labels, one with fastai's head"
    from fastbook_notes.apps.publishing import engine_folder, publish
    from fastbook_notes.errors import NotesError
    from fastbook_notes.models.model_folder import load_model
    from fastbook_notes.models.untrained import words_model
    try: engine_folder()
    except NotesError as e: not_here(str(e))
    top, found = tmp_path_factory.mktemp('site'), {}
    for name, folder in (('cats', words_model('cat_or_dog')), ('labels', words_model('labels')), ('small', model)):
        said = []
        found[name] = Page(load_model(folder), publish(folder, top/'below'/'here'/name, report=said.append), said)
    return found


@pytest.fixture(scope='module')
def pages(site, browser):
    "Opens each page once; at the end, nothing may have been amiss on any"
    top, amiss, opened = site['cats'].folder.parents[2], [], {}

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words): pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(top)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def open_page(name):
        if name in opened: return opened[name]
        page = opened[name] = browser.new_context(viewport={'width': 1280, 'height': 900}).new_page()
        page.asked = []
        page.on('console', lambda said: amiss.append(f'{name}: {said.type}: {said.text}') if complains(said) else None)
        page.on('pageerror', lambda error: amiss.append(f'{name}: {error}'))
        page.on('response', lambda response: amiss.append(f'{response.status}: {response.url}') if response.status >= 400 else None)
        page.on('request', lambda request: page.asked.append(request.url))
        page.goto(f'http://127.0.0.1:{server.server_port}/below/here/{name}/', wait_until='load')
        page.locator('.picture-app .drop').wait_for(timeout=WAIT)
        return page

    yield open_page
    for page in opened.values(): page.context.close()
    server.shutdown()
    amiss += [url for page in opened.values() for url in page.asked if not url.startswith(LOCAL)]
    assert amiss == []


def ask(page, name, data):
    "Give a page a file of a new name; the answer by label, or the line that says why there is none"
    page.locator('input[type=file]').set_input_files([{'name': name, 'mimeType': 'image/jpeg', 'buffer': data}])
    return answer(page, name)


def answer(page, name):
    page.wait_for_function('''(name) => [...document.querySelectorAll(".answer .name")].some((found) => found.textContent === name)
        || [...document.querySelectorAll(".problem")].some((found) => found.textContent.startsWith(name))''', arg=name, timeout=WAIT)
    if page.locator('.problem').count(): return page.locator('.problem').first.inner_text()
    rows = page.locator('.answer').first.locator('.bars li')
    return dict(rows.evaluate_all('(rows) => rows.map(({ dataset }) => [dataset.label, Number(dataset.share)])'))


def gap(page, predictor, name, data):
    "How much a page and its model differ at most"
    theirs, ours = dict(zip(predictor.names, predictor.probabilities(data).tolist())), ask(page, name, data)
    assert len(ours) == (len(theirs) if predictor.several else min(5, len(theirs)))
    return max(abs(theirs[label] - share) for label, share in ours.items())


def odd_files():
    whole = scene(300, 200)
    return {'turned.jpg': encoded(whole, 'JPEG', exif=exif(6), quality=95), 'clear.png': encoded(clear_corner(whole), 'PNG'),
            'grey.jpg': encoded(whole.convert('L'), 'JPEG', quality=95), 'sixteen.png': encoded(sixteen(whole), 'PNG'),
            'cmyk.jpg': encoded(whole.convert('CMYK'), 'JPEG', quality=95), 'few colours.gif': encoded(whole.quantize(16), 'GIF'),
            'wide.png': encoded(scene(900, 40), 'PNG'), 'tall.webp': encoded(scene(50, 700), 'WEBP', lossless=True),
            'tiny.bmp': encoded(scene(9, 7), 'BMP'), 'one pixel.png': encoded(scene(1, 1), 'PNG'),
            'large.jpg': encoded(scene(3000, 2100), 'JPEG', quality=90)}


def test_nothing_large_is_fetched_before_the_reader_asks(pages):
    page = pages('cats')
    names = {url.rpartition('/')[2] for url in page.asked}
    assert names <= {'', 'page.css', 'page.js', 'answering.js', 'picture_app.js', 'model.json', 'icon.svg', 'manifest.webmanifest'}
    assert page.locator('.loading button').inner_text().startswith('Load the model (10.') # At most 11 MB
    assert 'nothing is uploaded' in page.locator('main').inner_text()


def test_same_answers_on_photos_and_odd_files(pages, site):
    from fastbook_notes.apps.picture_app import package_photos
    files = {file.name: file.read_bytes() for file in package_photos()} | odd_files()
    page = pages('cats')
    gaps = {name: gap(page, site['cats'].predictor, name, data) for name, data in files.items()}
    page = pages('labels')
    gaps |= {f'labels of {name}': gap(page, site['labels'].predictor, name, data) for name, data in list(files.items())[:6]}
    assert {name: value for name, value in gaps.items() if not value <= SAME} == {}
    assert page.locator('.loading button').is_hidden() and 'works without a connection' in page.locator('.loading').inner_text()


def test_what_is_none_of_the_classes_is_said_as_in_the_app(pages, site):
    "Cup, rocket, flower: the page has ImageNet's words in few bits, and the app in full"
    from fastbook_notes.apps.picture_app import Guide, package_photos
    page, guide, said = pages('cats'), Guide(site['cats'].predictor), {}
    for file in package_photos():
        ask(page, f'is it {file.name}', file.read_bytes())
        said[file.name] = page.locator('.answer h3').first.inner_text(), guide.answer(open_picture(file))[0]['neither']
    grey = Image.new('RGB', (80, 60), (128, 128, 128))
    ask(page, 'grey.png', encoded(grey, 'PNG'))
    said['grey.png'] = page.locator('.answer h3').first.inner_text(), guide.answer(grey)[0]['neither']
    assert 'one colour' in said['grey.png'][1]
    assert len({bool(ours) for _, ours in said.values()}) == 2
    assert {name: pair for name, pair in said.items() if pair[1] and pair[0] != pair[1]} == {}
    assert [name for name, pair in said.items() if not pair[1] and pair[0].startswith('This looks like')] == []


def test_answers_can_be_corrected_counted_and_saved(pages, site):
    "A table that pandas reads, with each picture's name, answer, correction and probabilities"
    page, predictor = pages('cats'), site['cats'].predictor
    if page.locator('.kept').is_visible(): page.get_by_role('button', name='Clear the answers').click()
    files = {'a, "b".png': encoded(scene(60, 50), 'PNG'), '=1+2.png': encoded(scene(50, 60), 'PNG')}
    for name, data in files.items(): ask(page, name, data)
    newest = page.locator('.answer').first
    said = newest.locator('.soft:has-text("If it had to choose")').count()
    newest.get_by_label('It is really').select_option('something else')
    assert page.locator('.counted').inner_text() == f"You have judged 1 of 2: {said} right ({100*said}%)."
    with page.expect_download() as arrived: page.get_by_role('button', name='Save as a table').click()
    assert arrived.value.suggested_filename == 'answers.csv'
    table = pd.read_csv(arrived.value.path(), keep_default_na=False)
    assert table.file.tolist() == ['a, "b".png', "'=1+2.png"] and table.corrected.tolist() == ['', 'something else']
    assert table.answer.tolist() == [predictor.names[predictor.probabilities(data).argmax()] for data in files.values()]
    theirs = np.array([predictor.probabilities(data).tolist() for data in files.values()])
    assert np.abs(table[predictor.names].to_numpy(float) - theirs).max() < SAME


def test_a_heading_of_anybody_is_plain_text(tmp_path):
    from markdown_it import MarkdownIt

    from fastbook_notes.apps.publishing import _escaped, _title_of
    for heading, title in (('[Cats](https://evil.example) ![x](y.png) *and* `dogs`', 'Cats  and dogs'), ('<b>Cats</b>', '<b>Cats</b>'),
                           (r'\[a](b) https://evil.example', '[a](b) https://evil.example'), ('x'*900, 'x'*200), ('![](y)', tmp_path.name)):
        assert _title_of(f'# {heading}\n', tmp_path) == title
        shown = MarkdownIt('js-default').parseInline(_escaped(title))[0].children
        assert {part.type for part in shown} <= {'text', 'text_special'} and ''.join(part.content for part in shown) == title


def test_same_answers_of_a_head_with_several_layers(pages, site):
    page, predictor = pages('small'), site['small'].predictor
    assert [layer.layer for layer in predictor.description.head].count('BatchNorm1d') == 2
    assert max(gap(page, predictor, f'{n}.png', encoded(picture(200, 130, n), 'PNG')) for n in range(5)) <= SAME


@pytest.mark.parametrize('name', ['cats', 'small'])
def test_the_glow_lies_where_the_model_says(pages, site, name):
    from fastbook_notes.apps.picture_app import heat_picture, package_photos
    data, predictor = package_photos()[0].read_bytes(), site[name].predictor
    ask(pages(name), 'glow.png', data)
    found = pages(name).evaluate('''async () => {
        const context = new OffscreenCanvas(320, 320).getContext("2d");
        context.drawImage(document.querySelector(".answer .heat"), 0, 0);
        return [...context.getImageData(0, 0, 320, 320).data].filter((_, i) => i % 4 === 3);
    }''')
    theirs = np.asarray(heat_picture(predictor.heatmap(data, predictor.predict(data).label), (320, 320)))[..., 3]
    assert theirs.max() > 100 and np.abs(np.array(found).reshape(320, 320) - theirs).max() <= 8


def test_what_is_no_picture_is_said_in_a_line(pages):
    page = pages('cats')
    for name, data, why in (('list.txt', b'eggs, milk', "isn't a picture that this browser can open"), ('none.jpg', b'', 'it is empty'),
                            ('phone.heic', encoded(scene(), 'HEIF'), 'it is HEIC')):
        said = ask(page, name, data)
        assert said.startswith(f'{name}: ') and why in said and '\n' not in said
    ask(page, 'after.png', encoded(scene(), 'PNG'))
    assert page.locator('.problem').count() == 0


def test_paste_and_drop(pages):
    for kind, target in (('paste', 'document'), ('drop', 'document.querySelector(".drop")')):
        pages('cats').evaluate(f'''async ([kind, data]) => {{
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(data)], `${{kind}}.png`, {{ type: "image/png" }}));
            const options = {{ bubbles: true, cancelable: true, clipboardData: transfer, dataTransfer: transfer }};
            {target}.dispatchEvent(kind === "paste" ? new ClipboardEvent(kind, options) : new DragEvent(kind, options));
        }}''', [kind, list(encoded(scene(), 'PNG'))])
        assert isinstance(answer(pages('cats'), f'{kind}.png'), dict)


def test_the_threshold_moves_by_keyboard(pages):
    page = pages('labels')
    ask(page, 'scene.png', encoded(scene(), 'PNG'))
    page.get_by_label('Threshold').focus()
    page.keyboard.press('Home')
    low = page.locator('.answer').first.locator('li.best').count()
    page.keyboard.press('End')
    assert page.locator('.answer').first.locator('li.best').count() < low
    assert page.locator('.answer').first.locator('h3').inner_text() == 'nothing'


@pytest.mark.parametrize('scheme, width', [('light', 1280), ('dark', 390)])
def test_no_barriers_and_no_sideways_scrolling(pages, scheme, width):
    axe = ROOT/'website'/'node_modules'/'axe-core'/'axe.min.js'
    if not axe.exists(): not_here('axe-core is not in website/node_modules: npm ci --prefix website')
    page = pages('cats')
    page.set_viewport_size({'width': width, 'height': 844})
    page.emulate_media(color_scheme=scheme)
    page.get_by_text("The model's card").click()
    ask(page, f'{scheme}.png', encoded(scene(), 'PNG'))
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS/f'cats-{scheme}-{width}.png', full_page=True)
    page.evaluate(axe.read_text(encoding='utf-8'))
    found = page.evaluate('axe.run().then(({ violations }) => violations.map((v) => `${v.id}: ${v.nodes[0].html}`))')
    page.get_by_text("The model's card").click()
    assert found == []
    assert page.evaluate('document.documentElement.scrollWidth') <= width


STEPS = [[dict(step='resize', size=[24, 20], method=method, pad=pad, filter=kind)]
         for method, pad, kind in (('crop', 'reflection', 'bilinear'), ('squish', 'zeros', 'bicubic'), ('pad', 'zeros', 'bilinear'),
                                   ('pad', 'border', 'lanczos'), ('pad', 'reflection', 'box'), ('squish', 'zeros', 'hamming'),
                                   ('crop', 'border', 'nearest'))]
STEPS += [[dict(step='crop', size=[50, 90], pad=pad)] for pad in ('zeros', 'border', 'reflection')]
STEPS += [[STEPS[0][0] | dict(size=[97, 75]), dict(step='resample', size=[20, 24], pad=pad, mode=mode, align_corners=corners)]
          for pad, mode, corners in (('reflection', 'bilinear', True), ('zeros', 'bilinear', False), ('border', 'bilinear', False),
                                     ('reflection', 'nearest', False))]
STEPS += [[STEPS[0][0], dict(step='resample', size=[33, 30], pad='zeros', mode='bilinear', align_corners=False)]]


def test_pictures_are_prepared_as_in_python(pages):
    "Every kind of step, on pictures of several shapes, in colour and in grey, to one of 255 levels"
    from fastbook_notes.models.picture_steps import PictureSteps
    differ = {}
    for size in ((61, 43), (40, 130), (300, 280)):
        whole = scene(*size)
        found = pages('cats').evaluate('''async ([bytes, all]) => {
            const { prepare } = await import("./preparation.js"), bitmap = await createImageBitmap(new Blob([Uint8Array.from(bytes)]));
            return all.map((picture) => [...prepare(bitmap, picture).data]);
        }''', [list(encoded(whole, 'PNG')), [dict(steps=steps, mean=[.5]*n, std=[.25]*n) for steps in STEPS for n in (3, 1)]])
        for steps, pairs in zip(STEPS, zip(found[::2], found[1::2])):
            last = steps[-1]['size'] if steps[-1]['step'] == 'resample' else steps[-1]['size'][::-1]
            described = PictureSteps(size=last, steps=steps, mean=[.5]*3, std=[.25]*3)
            for mode, ours in zip(('RGB', 'L'), pairs):
                pixels = np.atleast_3d(np.array(described.on_picture(whole.convert(mode))))
                theirs = (described.on_batch(torch.from_numpy(pixels).permute(2, 0, 1)[None].float()/255)[0] - .5)/.25
                off = (torch.tensor(ours).reshape(theirs.shape) - theirs).abs().max().item()*.25*255
                if off > 1.01: differ[str((steps, size, mode))] = off
    assert differ == {}


def test_opens_and_answers_without_a_connection(pages):
    page, data = pages('cats'), encoded(scene(300, 200), 'PNG')
    before = ask(page, 'before.png', data)
    page.wait_for_function('() => document.querySelector(".loading").textContent.includes("without a connection")', timeout=WAIT)
    page.context.set_offline(True)
    try:
        page.reload()
        page.locator('.picture-app .drop').wait_for(timeout=WAIT)
        assert ask(page, 'offline.png', data) == before
    finally: page.context.set_offline(False)


def test_on_a_phone_a_lost_connection_is_said_and_tried_again(pages, browser):
    context = browser.new_context(viewport={'width': 390, 'height': 844}, has_touch=True, is_mobile=True)
    try:
        page = context.new_page()
        context.route('**/body.onnx*', lambda route: route.abort())
        page.goto(pages('cats').url, wait_until='load')
        page.get_by_text('Take a photo').wait_for(timeout=WAIT)
        page.locator('input[capture]').set_input_files([{'name': 'a.png', 'mimeType': 'image/png', 'buffer': encoded(scene(), 'PNG')}])
        assert "wasn't looked at" in answer(page, 'a.png')
        assert 'there is no connection' in page.locator('.loading').inner_text() and page.locator('.loading button').is_visible()
        context.unroute('**/body.onnx*')
        page.locator('.loading button').click()
        page.get_by_text('The model is here.').wait_for(timeout=WAIT)
        page.locator('input[capture]').set_input_files([{'name': 'b.png', 'mimeType': 'image/png', 'buffer': encoded(scene(), 'PNG')}])
        assert isinstance(answer(page, 'b.png'), dict)
    finally: context.close()


def test_seconds_to_an_answer(pages, record_property):
    "Of a page whose model is there"
    page, data, seconds = pages('cats'), encoded(scene(640, 480), 'JPEG'), []
    ask(page, 'first.jpg', data)
    for n in range(5):
        begun = time.monotonic()
        ask(page, f'{n}.jpg', data)
        seconds.append(time.monotonic() - begun)
    record_property('figure', f'published page: {1000*sorted(seconds)[2]:.0f} ms a photo')
    assert sorted(seconds)[2] < 3


# ---- the files

def test_the_files_of_a_page(site):
    page = site['cats']
    told = json.loads((page.folder/'model.json').read_text())
    wire = sum(told[part]['bytes'] for part in ('body', 'head', 'engine'))
    assert all((page.folder/told[part]['file']).stat().st_size == told[part]['bytes'] for part in ('body', 'head', 'engine'))
    assert wire < 11e6 and told['check']['weights'] == 'float16' and told['check']['gap'] <= 0.01
    assert page.said == [line for line in page.said if 'float16' in line and f"{told['check']['gap']:.4f}" in line] != []
    readme = (page.folder/'README.md').read_text()
    assert readme.startswith('---\ntitle: "Cat or dog"\nsdk: static\n') and 'GitHub Pages' in readme and '$' not in readme
    assert 'Microsoft' in (page.folder/'engine'/'LICENSE').read_text()


def test_a_page_is_made_again_and_nothing_else_is_written_over(site, model, tmp_path): # noqa: F811
    from fastbook_notes.apps.publishing import publish
    from fastbook_notes.errors import NotesError
    out = tmp_path/'page'
    (out/'.git').mkdir(parents=True)
    for _ in range(2): assert publish(model, out, report=str) == out
    assert (out/'.git').is_dir() and (out/'body.onnx.gz').read_bytes() == (site['small'].folder/'body.onnx.gz').read_bytes()
    (tmp_path/'mine.txt').write_text('mine')
    with pytest.raises(NotesError, match='holds other files'): publish(model, tmp_path, report=str)
    (tmp_path/'service-worker.js').write_text('// mine')
    with pytest.raises(NotesError, match='holds other files'): publish(model, tmp_path, report=str)
    assert (tmp_path/'service-worker.js').read_text() == '// mine'
    with pytest.raises(NotesError, match='is a file'): publish(model, tmp_path/'mine.txt', report=str)


def test_without_the_engine_a_line_says_where_it_is_had(monkeypatch, model, tmp_path): # noqa: F811
    from fastbook_notes.apps import publishing
    from fastbook_notes.errors import NotesError
    monkeypatch.setattr(publishing, 'FRONT_ENDS', tmp_path/'a'/'b')
    with pytest.raises(NotesError, match='npm ci --prefix website'): publishing.publish(model, tmp_path/'page', report=str)
    assert not (tmp_path/'page').exists()


def test_what_answers_otherwise_is_not_taken(monkeypatch, model): # noqa: F811
    "A weight that half precision can't hold gives no answers at all; and where nothing smaller answers alike, the weights stay as they are"
    from onnx import numpy_helper

    from fastbook_notes.apps import publishing
    from fastbook_notes.models.model_folder import load_model
    predictor, said = load_model(model), []
    graph = publishing.body_graph(predictor)
    weight = next(weight for weight in graph.graph.initializer if len(weight.dims) == 4)
    values = numpy_helper.to_array(weight).copy()
    values[0, 0, 0, 0] = 1e7
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    assert publishing.largest_gap(predictor, publishing.smaller_graph(graph, 'float16'), [picture(40, 30)]) == float('inf')
    monkeypatch.setattr(publishing, 'MOST_GAP', {'float16': -1, 'int8': -1})
    _, check = publishing.small_body(predictor, small=True, report=said.append)
    assert check['weights'] == 'float32' and [line.split()[2].rstrip(':') for line in said] == ['int8', 'float16', 'float32']


def test_a_card_fetches_nothing_and_runs_nothing():
    from fastbook_notes.apps.publishing import _card_page
    card = '# A\n\n<script>alert(1)</script> ![x](http://elsewhere/x.png) [y](javascript:alert(1)) **bold**'
    html = _card_page(card)
    assert '<script' not in html and '<img' not in html and 'href="javascript' not in html
    assert html.startswith('<h2>') and '<strong>bold</strong>' in html


def test_a_large_picture_is_read_in_strips(pages):
    "A picture of 24 million pixels is answered"
    file = io.BytesIO()
    Image.new('RGB', (6000, 4000), 'orange').save(file, 'JPEG')
    assert isinstance(ask(pages('cats'), 'large.jpg', file.getvalue()), dict)
