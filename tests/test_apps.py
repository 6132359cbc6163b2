"The apps in a real Chromium: in a page with no Python behind it, served by Voila, and in JupyterLab."
import base64
import io
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from conftest import ROOT

SCREENS = ROOT/'_run'/'screens'/'apps'
STROKES = {'3': [[(.3, .25), (.5, .15), (.7, .27), (.5, .47), (.72, .62), (.55, .85), (.3, .75)]],
           '7': [[(.25, .22), (.75, .22), (.45, .85)]],
           '1': [[(.5, .15), (.5, .85)]], '0': [[(.5, .15), (.3, .3), (.28, .65), (.5, .85), (.72, .65), (.7, .3), (.5, .15)]]}


def screenshot(page, name):
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS/f'{name}.png', full_page=True)


def draw(page, strokes):
    "Draw on the pad with the mouse, on points from 0 to 1"
    page.locator('.pad').scroll_into_view_if_needed()
    box = page.locator('.pad').bounding_box()
    for stroke in strokes:
        (x, y), *rest = [(box['x'] + x*box['width'], box['y'] + y*box['height']) for x, y in stroke]
        page.mouse.move(x, y)
        page.mouse.down()
        for x, y in rest: page.mouse.move(x, y, steps=6)
        page.mouse.up()


def said(page, widget): return page.locator(f'{widget} [role=status]').inner_text()


# ---- the digit pad and the line, in a page with no Python behind it

@pytest.fixture(scope='session')
def pads():
    from fastbook_notes.apps.digit_pad import digit_pad
    from fastbook_notes.apps.line_pad import line_pad
    return digit_pad('sample'), line_pad()


@pytest.fixture(scope='session')
def static_page(pads, tmp_path_factory):
    "The website's own script with both widgets, in a folder"
    from ipywidgets.embed import embed_data
    folder = tmp_path_factory.mktemp('static')
    state = embed_data(views=list(pads), drop_defaults=False)['manager_state']['state']
    (folder/'models.js').write_text(f'window.widgetModels = {json.dumps(state)};')
    shutil.copy(ROOT/'website'/'live.js', folder)
    shutil.copy(ROOT/'nbs'/'styles.css', folder)
    places = ''.join(f'<div class="live-widget" data-model="{pad.model_id}" data-models="models.js"></div>' for pad in pads)
    for scheme, attribute in (('light', ''), ('dark', 'data-scheme="alternate"')):
        (folder/f'{scheme}.html').write_text(f'<!doctype html><html lang="en" {attribute}><head><meta charset="utf-8"><title>Pads</title><meta name="viewport" content="width=device-width">'
            f'<meta name="smalldocs:offset" content=""><link rel="stylesheet" href="styles.css"></head><body><main><h1>Pads</h1>{places}</main><script src="live.js"></script></body></html>')
    return folder.as_uri()


def in_script(page, script, call, argument):
    "Call what a widget's script exports"
    return page.evaluate(f'''async ([source, argument]) => {{
        const script = await import(URL.createObjectURL(new Blob([source], {{ type: "text/javascript" }})));
        return ({call})(script, argument);
    }}''', [script, argument])


@pytest.fixture
def pad_page(visit, static_page):
    page = visit(f'{static_page}/light.html')
    page.locator('.line-pad').wait_for()
    page.locator('.digit-pad').wait_for()
    return page


def test_javascript_answers_as_python_does(pad_page, pads):
    "100 digits, each model, to 1e-4"
    from fastbook_notes.apps.digit_pad import digit_probabilities
    from fastbook_notes.data.datasets import get_dataset
    from fastbook_notes.mnist_basics import digit_datasets
    digits = digit_datasets(get_dataset('MNIST', 'sample'))[1].tensors[0][::10]
    assert len(digits) == 100
    answers = in_script(pad_page, pads[0]._esm, '''(script, { models, weights, pictures }) => {
        const unpacked = script.unpack(models, Uint8Array.from(atob(weights), (c) => c.charCodeAt(0)));
        return unpacked.map((model) => pictures.map((picture) => [...script.probabilities(model, picture)]));
    }''', {'models': pads[0].models, 'weights': base64.b64encode(pads[0].weights).decode(), 'pictures': digits.tolist()})
    for m, answer in zip(pads[0].models, answers, strict=True):
        gap = np.abs(np.array(answer) - digit_probabilities(pads[0]._models[m['name']], digits.numpy())).max()
        assert gap < 1e-4, m['name']


def test_javascript_centres_as_python_does(pad_page, pads):
    from fastbook_notes.apps.digit_pad import centred_digit
    rng = np.random.default_rng(42)
    for height, width in ((50, 60), (9, 31), (224, 224), (1, 1), (20, 3)):
        ink = rng.random((height, width))*(rng.random((height, width)) > 0.7)
        found = in_script(pad_page, pads[0]._esm,
                          '(script, { ink, width, height }) => [...script.centred(ink, width, height)]',
                          {'ink': ink.ravel().tolist(), 'width': width, 'height': height})
        assert np.abs(np.array(found).reshape(28, 28) - centred_digit(ink)).max() < 1e-9, (height, width)


def test_javascript_steps_as_python_does(pad_page, pads):
    from fastbook_notes.intro import line_loss, line_step
    x, y = np.array(pads[1].x), np.array(pads[1].y)
    for w, b, lr in ((0, 0, .05), (-1.5, 7, .1), (4, -2, .2)):
        loss, step = in_script(pad_page, pads[1]._esm,
                               '(script, [w, b, x, y, lr]) => [script.lineLoss(w, b, x, y), script.lineStep(w, b, x, y, lr)]', [w, b, x.tolist(), y.tolist(), lr])
        assert loss == pytest.approx(line_loss(w, b, x, y), rel=1e-9)
        assert step == pytest.approx(line_step(w, b, x, y, lr), rel=1e-9)


@pytest.mark.parametrize('digit', STROKES)
def test_a_drawn_digit_is_recognised(pad_page, digit):
    pad_page.get_by_label('All ten').check()
    draw(pad_page, STROKES[digit])
    assert f'SimpleNet: {digit}' in said(pad_page, '.digit-pad')
    assert pad_page.locator('.digit-pad .model').count() == 2 and pad_page.locator('.digit-pad .bars li').count() == 20


def test_a_small_digit_in_a_corner_is_the_same_digit(pad_page):
    draw(pad_page, STROKES['7'])
    assert all(f'{model}: 7' in said(pad_page, '.digit-pad') for model in ('LinearModel', 'SimpleNet'))
    pad_page.get_by_role('button', name='Clear').click()
    assert said(pad_page, '.digit-pad') == 'The pad is empty.'
    draw(pad_page, [[(.55 + .4*x, .55 + .4*y) for x, y in stroke] for stroke in STROKES['7']])
    assert all(f'{model}: 7' in said(pad_page, '.digit-pad') for model in ('LinearModel', 'SimpleNet'))
    pad_page.get_by_role('button', name='Undo').click()
    assert said(pad_page, '.digit-pad') == 'The pad is empty.'


def test_the_pad_answers_within_a_stroke(pad_page):
    "At every stroke, and already while it is drawn"
    box = pad_page.locator('.pad').bounding_box()
    pad_page.mouse.move(box['x'] + 60, box['y'] + 60)
    pad_page.mouse.down()
    pad_page.mouse.move(box['x'] + 220, box['y'] + 60, steps=8)
    pad_page.wait_for_function('document.querySelector(".digit-pad .best")')
    pad_page.mouse.up()


def test_a_digit_is_drawn_by_keyboard(pad_page):
    pad_page.locator('.pad').focus()
    for key in ['ArrowLeft']*5 + [' '] + ['ArrowRight']*10 + ['ArrowDown', 'ArrowDown', 'ArrowLeft']*6 + [' ']: pad_page.keyboard.press(key)
    assert 'SimpleNet: 7' in said(pad_page, '.digit-pad')
    pad_page.keyboard.press('Delete')
    assert said(pad_page, '.digit-pad') == 'The pad is empty.'


def test_a_real_digit_is_shown(pad_page, pads):
    from fastbook_notes.apps.digit_pad import digit_probabilities
    for game, example in (('All ten', 0), ('3 or 7', 3)):
        pad_page.get_by_label(game).check()
        pad_page.get_by_role('button', name='Show a real one').click()
        model = next(m for m in pads[0].models if m['name'] == f'{game} SimpleNet')
        picture = np.frombuffer(pads[0].examples[784*example:784*(example + 1)], 'uint8')[None]/255
        best = model['classes'][digit_probabilities(pads[0]._models[model['name']], picture)[0].argmax()]
        assert f'SimpleNet: {best}' in said(pad_page, '.digit-pad')


def test_pixels_times_weights_add_up_to_the_activations(pad_page, pads):
    from fastbook_notes.apps.digit_pad import digit_probabilities
    pad_page.get_by_label('All ten').check()
    pad_page.get_by_label('Multiply by the pixels').check()
    pad_page.get_by_role('button', name='Show a real one').click()
    written = pad_page.locator('.digit-pad .weights section figcaption').all_inner_texts()
    powers = np.exp([float(text.split()[1].replace('−', '-')) for text in written])
    picture = np.frombuffer(pads[0].examples[:784], 'uint8')[None]/255
    assert [text[0] for text in written] == list('0123456789')
    assert np.abs(powers/powers.sum() - digit_probabilities(pads[0]._models['All ten LinearModel'], picture)[0]).max() < 0.01


def test_the_line_is_fitted(pad_page):
    number = lambda: float(pad_page.locator('.line-pad .loss').inner_text())
    start = number()
    pad_page.get_by_role('button', name='One step').click()
    assert number() < start and said(pad_page, '.line-pad').startswith('After 1 step:')
    for _ in range(15): pad_page.get_by_role('button', name='20 steps').click()
    assert number() < 0.3
    pad_page.get_by_label('Weight w').focus()
    for _ in range(20): pad_page.keyboard.press('ArrowRight')
    assert number() > 0.4
    pad_page.get_by_role('button', name='Start over').click()
    assert number() == start
    pad_page.get_by_label('Learning rate').focus()
    for _ in range(20): pad_page.keyboard.press('PageUp')
    for _ in range(3): pad_page.get_by_role('button', name='20 steps').click()
    assert 'lower learning rate' in said(pad_page, '.line-pad')


def the_points(page): return page.locator('.line-pad figure').first.locator('.dot').evaluate_all('all => all.map((e) => [+e.getAttribute("cx"), +e.getAttribute("cy")])')


def test_a_point_is_moved_by_mouse_keyboard_and_touch(pad_page, pads):
    "Only its y, within the drawing; the line's loss and the surface follow, and the walk begins anew"
    chart, number = pad_page.locator('.line-pad svg.plot').first, lambda: float(pad_page.locator('.line-pad .loss').inner_text())
    surface = lambda: pad_page.locator('.line-pad image').get_attribute('href')
    for _ in range(5): pad_page.get_by_role('button', name='20 steps').click()
    before, at_first, ground = the_points(pad_page), number(), surface()
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    scale = box['width']/440
    def moved(): return [i for i, (old, new) in enumerate(zip(before, the_points(pad_page), strict=True)) if old != new]
    x, y = before[30]
    pad_page.mouse.move(box['x'] + scale*x, box['y'] + scale*y)
    pad_page.mouse.down()
    pad_page.mouse.move(box['x'] + scale*(x - 100), box['y'] + scale*250, steps=4)
    pad_page.mouse.up()
    assert moved() == [30] and the_points(pad_page)[30][0] == x
    assert number() > at_first and surface() != ground and not said(pad_page, '.line-pad').startswith('After')
    pad_page.get_by_role('button', name='Points as they were').click()
    assert moved() == [] and number() == at_first and surface() == ground
    pad_page.get_by_label('Point', exact=True).focus()
    pad_page.keyboard.press('ArrowLeft')
    pad_page.get_by_label('Its y').focus()
    for _ in range(9): pad_page.keyboard.press('PageUp')
    assert moved() == [29] and number() > at_first
    pad_page.get_by_role('button', name='Points as they were').click()
    touch = pad_page.context.new_cdp_session(pad_page)
    for kind, up in (('touchStart', 0), ('touchMove', 40), ('touchMove', 80), ('touchEnd', None)):
        points = [] if up is None else [{'x': box['x'] + scale*x, 'y': box['y'] + scale*y + up}]
        touch.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': points})
    assert moved() == [30] and number() > at_first
    for _ in range(3): pad_page.get_by_role('button', name='20 steps').click()
    assert pad_page.locator('.line-pad figure').last.locator('svg').get_attribute('aria-label').endswith('60 steps')


@pytest.mark.parametrize('scheme, width', [('light', 1280), ('dark', 390)])
def test_pads_fit_the_page(visit, static_page, scheme, width):
    page = visit(f'{static_page}/{scheme}.html', viewport={'width': width, 'height': 900}, has_touch=width < 500)
    page.locator('.digit-pad').wait_for()
    draw(page, STROKES['3'])
    page.locator('.line-pad').scroll_into_view_if_needed()
    page.get_by_role('button', name='20 steps').click()
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    small = page.evaluate('[...document.querySelectorAll("button, input[type=range], .choice")].filter((e) => e.offsetParent && e.getBoundingClientRect().height < 44).map((e) => e.textContent)')
    assert small == []
    screenshot(page, f'pads-{scheme}-{width}')


# ---- served by Voila

APPS_SHOWN = {'line': '.line-pad', 'digit_pad': '.digit-pad', 'cat_or_dog': '.picture-app', 'breeds': '.picture-app',
              'labels': '.picture-app', 'cleaner': '.cleaner'}
WAIT = 120_000 # Milliseconds, for a model on a machine that is busy


@pytest.fixture(scope='session')
def models():
    "What the apps have trained, in the cache folder of whoever runs the tests, once"
    from fastbook_notes.apps.serving import APPS, prepare_app
    for app in APPS: prepare_app(app, 'sample')


@pytest.fixture(scope='session')
def served(models):
    "Serves an app, or all of the session's that were asked for, until the end of the session"
    from contextlib import ExitStack

    from fastbook_notes.apps.serving import find_app, serving
    with ExitStack() as stack:
        found = {}

        def serve(name):
            if name not in found: found[name] = stack.enter_context(serving(find_app(name), 8870, data='sample', report=lambda text: None))
            return found[name][0]
        yield serve


@pytest.fixture
def opened(visit, served):
    "Opens an app and waits until it can be used"
    def open_app(name, **options):
        page = visit(served(name), **options)
        page.locator(APPS_SHOWN[name]).wait_for(timeout=WAIT)
        if APPS_SHOWN[name] == '.picture-app': page.get_by_text('Ready.').wait_for(timeout=WAIT)
        return page
    return open_app


def answers(page, n):
    page.wait_for_function(f'document.querySelectorAll(".answer").length >= {n}', timeout=WAIT)
    return page.locator('.answer')


def upload(page, *files): page.locator('input[type=file]').set_input_files(list(files))


def as_file(name, data, kind='image/jpeg'): return {'name': name, 'mimeType': kind, 'buffer': data}


def pet(name='Birman_1'):
    from fastbook_notes.data.datasets import get_dataset
    return (get_dataset('PETS', 'sample')/'images'/f'{name}.jpg').read_bytes()


def large_pet():
    "As from a camera: more megabytes than are taken"
    from PIL import Image
    file = io.BytesIO()
    with Image.open(io.BytesIO(pet())) as picture: large = np.asarray(picture.convert('RGB').resize((3600, 3600)), dtype='int16')
    noise = np.random.default_rng(0).integers(-40, 40, large.shape, dtype='int16')
    Image.fromarray((large + noise).clip(0, 255).astype('uint8')).save(file, 'JPEG', quality=95)
    assert file.tell() > 8e6
    return file.getvalue()


def png(*size):
    from PIL import Image
    file = io.BytesIO()
    Image.new('1', size).save(file, 'PNG')
    return file.getvalue()


def drop(page, name, data):
    "Drop a file on the page, as a person does with the mouse"
    page.evaluate('''([name, data]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, { type: "image/jpeg" }));
        for (const kind of ["dragover", "drop"]) document.querySelector(".drop").dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
    }''', [name, base64.b64encode(data).decode()])


def test_cat_or_dog(opened):
    "Sample, upload and drop; two visitors; wrong uploads; all in one visit, since a kernel takes its time to start"
    page, other = opened('cat_or_dog'), None
    page.get_by_role('button', name='Use the sample').first.click()
    assert answers(page, 1).first.locator('.bars li').count() == 2
    upload(page, as_file('mine.jpg', pet()))
    first = answers(page, 2).first
    assert first.locator('h3').inner_text().startswith('cat') and first.locator('.name').inner_text() == 'mine.jpg'
    assert first.locator('.heat').is_visible()
    page.get_by_label('Show where the model looked').uncheck()
    assert not first.locator('.heat').is_visible()
    page.get_by_label('Show where the model looked').check()
    drop(page, 'dropped.jpg', pet('beagle_1'))
    assert answers(page, 3).first.locator('h3').inner_text().startswith('dog')
    screenshot(page, 'cat_or_dog-light-1280')

    upload(page, as_file('list.txt', b'eggs, milk', 'text/plain'), as_file('a.pdf', b'%PDF-1.7', 'application/pdf'),
           as_file('cut.jpg', pet()[:900]), as_file('none.jpg', b''),
           as_file('huge.png', png(20_000, 20_000), 'image/png'), as_file('heavy.jpg', bytes(8_100_000)), as_file('good.jpg', pet()))
    assert answers(page, 4).first.locator('.name').inner_text() == 'good.jpg'
    assert 'only drawings' in answers(page, 4).first.locator('.note').inner_text()
    said = page.locator('.problem').all_inner_texts()
    for name, words in {'list.txt': 'none of JPEG', 'a.pdf': 'is a PDF', 'cut.jpg': 'ends too early',
                        'none.jpg': 'is empty', 'huge.png': 'many pixels', 'heavy.jpg': 'more than 8 are not taken'}.items():
        assert any(text.startswith(f'{name}:') and words in text for text in said), (name, said)
    upload(page, as_file('camera.jpg', large_pet()))
    assert answers(page, 5).first.locator('h3').inner_text().startswith('cat') and page.locator('.problem').count() == 0
    upload(page, *(as_file(f'{n}.jpg', pet()) for n in range(30)))
    page.locator('.answer .name', has_text='19.jpg').wait_for(timeout=WAIT) # The first twenty
    assert page.locator('.problem').all_inner_texts() == ['30 files: at most 20 are taken at a time, so the last 10 were left out; give it those next.']
    upload(page, as_file('after.jpg', pet()))
    page.locator('.answer .name', has_text='after.jpg').wait_for(timeout=WAIT)
    assert answers(page, 24).nth(1).locator('.name').inner_text() == '19.jpg' # As many as are shown

    other = opened('cat_or_dog', viewport={'width': 390, 'height': 844}, color_scheme='dark')
    assert other.locator('.answer').count() == 0 and 'mine.jpg' not in other.content()
    upload(other, as_file('yours.jpg', pet('beagle_1')))
    answers(other, 1)
    assert 'yours.jpg' not in page.content() and 'mine.jpg' not in other.content()
    assert other.evaluate('document.documentElement.scrollWidth') <= 390
    screenshot(other, 'cat_or_dog-dark-390')


def test_many_uploads_leave_nothing_behind(opened, served):
    "100 uploads in a row: the memory of the kernel and of the model's process stays where it is, and the page keeps a few answers"
    page = opened('cat_or_dog')
    ours = psutil.Process(os.getpid()).children(recursive=True)
    ours = {kind: [p for p in ours if kind in ' '.join(p.cmdline())] for kind in ('ipykernel', 'picture_app import main; main() 1 ')}
    both = [max(found, key=lambda p: p.create_time()) for found in ours.values()]
    memory = lambda: sum(p.memory_info().rss for p in both)

    def send(n):
        for start in range(0, n, 20):
            upload(page, *(as_file(f'{start + i}.jpg', pet()) for i in range(20)))
            page.wait_for_function(f'document.querySelector(".picture-app [role=status]").textContent.startsWith("{start + 19}.jpg: cat")', timeout=WAIT)
            page.get_by_role('button', name='Clear the answers').click()
    send(20)
    before = memory()
    send(100)
    assert memory() - before < 40e6
    assert page.locator('.answer').count() == 0


def test_breeds(opened):
    page = opened('breeds')
    upload(page, as_file('mine.jpg', pet('Siamese_3')))
    card = answers(page, 1).first
    assert card.locator('.bars li').count() == 5 and card.locator('.beside img').count() == 15
    screenshot(page, 'breeds-light-1280')
    page.set_viewport_size({'width': 390, 'height': 844})
    page.emulate_media(color_scheme='dark')
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    screenshot(page, 'breeds-dark-390')


def test_labels(opened):
    page = opened('labels')
    page.get_by_role('button', name='Use the sample').first.click()
    card, slider = answers(page, 1).first, page.get_by_label('Threshold')
    named = lambda: card.locator('.bars li.best').count()
    slider.focus()
    page.keyboard.press('Home')
    low, recall = named(), page.locator('.measures').inner_text()
    page.keyboard.press('End')
    assert named() <= low and page.locator('.measures').inner_text() != recall
    page.keyboard.press('Home')
    for _ in range(25): page.keyboard.press('ArrowRight')
    assert card.locator('h3').inner_text() == ', '.join(card.locator('.bars li.best .label').all_inner_texts())
    screenshot(page, 'labels-light-1280')
    page.set_viewport_size({'width': 390, 'height': 844})
    page.emulate_media(color_scheme='dark')
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    screenshot(page, 'labels-dark-390')


def test_cleaner(opened):
    page = opened('cleaner')
    page.locator('.item img[src]').first.wait_for(timeout=WAIT)
    first, second = (page.locator('.item').nth(i) for i in (0, 1))
    names = [item.get_attribute('data-file') for item in (first, second)]
    label = first.locator('strong').first.inner_text()
    first.get_by_label('Relabel', exact=True).check()
    second.get_by_label('Set aside').check()
    page.get_by_label('Labelled').select_option('dog' if label == 'cat' else 'cat')
    assert page.locator(f'.item[data-file="{names[0]}"]').count() == 0
    page.get_by_label('Labelled').select_option('')
    assert page.locator(f'.item[data-file="{names[0]}"].marked').count() == 1
    page.get_by_role('button', name='Review 2 changes').click()
    listed = page.locator('.plan li').all_inner_texts()
    assert [line.partition(':')[0] for line in listed] == names and page.locator(f'.item[data-file="{names[1]}"]').count() == 1
    screenshot(page, 'cleaner-light-1280')
    page.get_by_role('button', name='Apply 2 changes').click()
    page.get_by_text('Done: 2 changed.').wait_for(timeout=WAIT)
    page.locator(f'.item[data-file="{names[1]}"]').wait_for(state='detached', timeout=WAIT)
    assert page.locator(f'.item[data-file="{names[0]}"] strong').first.inner_text() != label
    with page.expect_download() as download: page.get_by_text('Save the labels as a table').click()
    assert f'{names[0]},{"dog" if label == "cat" else "cat"},' in download.value.path().read_text()
    page.get_by_role('button', name='Undo the last').click()
    page.get_by_text('Undone.', exact=True).wait_for(timeout=WAIT)
    again = page.locator(f'.item[data-file="{names[1]}"].marked')
    again.wait_for(timeout=WAIT)
    assert again.get_by_label('Set aside').is_checked()
    page.set_viewport_size({'width': 390, 'height': 844})
    page.emulate_media(color_scheme='dark')
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    screenshot(page, 'cleaner-dark-390')


@pytest.mark.parametrize('name', ['digit_pad', 'line'])
def test_pads_in_voila(opened, name):
    page = opened(name)
    if name == 'digit_pad':
        draw(page, STROKES['7'])
        assert 'SimpleNet: 7' in said(page, '.digit-pad')
    else:
        page.get_by_role('button', name='One step').click()
        assert said(page, '.line-pad').startswith('After 1 step')
    assert page.title() == {'digit_pad': 'Digit pad', 'line': 'The line'}[name]
    screenshot(page, f'{name}-light-1280')
    page.set_viewport_size({'width': 390, 'height': 844})
    page.emulate_media(color_scheme='dark')
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    screenshot(page, f'{name}-dark-390')


@pytest.mark.slow
def test_a_taken_port_is_passed_over(served):
    from fastbook_notes.apps.serving import find_app, serving
    taken = int(served('line').rstrip('/').rpartition(':')[2])
    heard = []
    with serving(find_app('line'), taken, report=heard.append) as (address, _):
        assert address != served('line') and heard[0].startswith(f'Port {taken} is taken; this is on')


def test_a_second_start_shows_the_app_within_ten_seconds(models, visit, tmp_path):
    "By the command, as a person starts it; the model may still be loading"
    begun = time.monotonic()
    command = [sys.executable, '-u', '-c', 'from fastbook_notes.cli import main; main()', 'app', 'cat_or_dog', '--port', '8990']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path,
                               env={**os.environ, 'FASTBOOK_NOTES_DATA': 'sample'})
    try:
        address = next(line for line in process.stdout if ' is at ' in line).split(' is at ')[1].partition(';')[0]
        page = visit(address)
        page.locator('.picture-app').wait_for(timeout=WAIT)
        print(f'second start: {time.monotonic() - begun:.1f} s')
        page.get_by_text('Ready.').wait_for(timeout=WAIT)
        page.close()
    finally:
        process.terminate()
        process.wait(20)


# ---- in JupyterLab

@pytest.fixture
def lab(models, tmp_path):
    "JupyterLab in a folder with the digit pad's notebook"
    from fastbook_notes.apps.serving import find_app, free_port
    shutil.copy(find_app('digit_pad').path, tmp_path)
    port = free_port(8950)
    settings = {'ServerApp.port': port, 'ServerApp.ip': '127.0.0.1', 'ServerApp.root_dir': tmp_path,
                'IdentityProvider.token': '', 'ServerApp.port_retries': 0, 'LabApp.extension_manager': 'readonly',
                'LabApp.news_url': '', 'ServerApp.allow_root': True}
    process = subprocess.Popen([sys.executable, '-m', 'jupyterlab', '--no-browser',
                                *(f'--{name}={value}' for name, value in settings.items())], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, cwd=tmp_path,
                               env={**os.environ, 'FASTBOOK_NOTES_DATA': 'sample', 'JUPYTER_CONFIG_DIR': str(tmp_path/'config')})
    yield f'http://127.0.0.1:{port}/'
    process.terminate()
    process.wait(20)


def test_the_digit_pad_in_jupyterlab(lab, browser):
    page = browser.new_page(viewport={'width': 1280, 'height': 900})
    for _ in range(100):
        try:
            page.goto(f'{lab}lab/tree/digit_pad.ipynb?reset')
            break
        except Exception: time.sleep(0.3)
    page.locator('.jp-Notebook .jp-Cell').first.wait_for(timeout=WAIT)
    page.get_by_text('| Idle').wait_for(timeout=WAIT)
    page.get_by_role('menuitem', name='Run', exact=True).click()
    page.locator('#jp-mainmenu-run').get_by_text('Run All Cells', exact=True).click()
    page.locator('.digit-pad').first.wait_for(timeout=WAIT)
    page.get_by_label('All ten').check()
    draw(page, STROKES['7'])
    assert 'SimpleNet: 7' in said(page, '.digit-pad')
    screenshot(page, 'digit_pad-jupyterlab')
    page.close()
