"Live figures: the browser computes what Python computes, and each answers a drag and a key, is read aloud, and can be seen in every dress."
import base64
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import traitlets
from PIL import Image

from conftest import ROOT
from fastbook_notes.apps.explorables.binary_loss import BinaryLoss
from fastbook_notes.apps.explorables.confusion import Confusion
from fastbook_notes.apps.explorables.descent import Descent
from fastbook_notes.apps.explorables.epoch_order import EpochOrder
from fastbook_notes.apps.explorables.first_weights import FirstWeights
from fastbook_notes.apps.explorables.forgetting import Forgetting
from fastbook_notes.apps.explorables.intervals import Intervals
from fastbook_notes.apps.explorables.lever import Lever
from fastbook_notes.apps.explorables.live_figure import LiveFigure
from fastbook_notes.apps.explorables.loop import Loop
from fastbook_notes.apps.explorables.overfitting import Overfitting
from fastbook_notes.apps.explorables.presizing import Presizing
from fastbook_notes.apps.explorables.softmax_bars import SoftmaxBars
from fastbook_notes.apps.explorables.threshold import Threshold
from fastbook_notes.apps.line_pad import LinePad

SCREENS = ROOT/'_run'/'screens'/'explorables'
TRIALS = 40


def two_heaps(rng, n, size=24):
    "Points of two kinds that overlap, and which kind each is"
    kinds = rng.integers(0, 2, n)
    return rng.normal(size=(n, size)) + 0.5*np.outer(2*kinds - 1, np.arange(size) < 4), kinds


def threshold_of(rng):
    there = rng.random((40, 6)) < 0.3
    return Threshold(rng.normal(4*there - 3, 1.5), there, 'bus cat dog horse person train'.split(),
                     {row: Image.new('RGB', (120, 90 + row), (20*row, 90, 160)) for row in range(6)})


def noise(rng): return Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))


def some_confusion(rng, classes=9, n=120):
    "Answers that are mostly right, and always for the last class"
    true = rng.integers(0, classes, n)
    chances = rng.dirichlet(np.ones(classes), n) + 0.3*np.eye(classes)[true]
    chances[:, -1] = 2*(true == classes - 1)
    return Confusion([f'Breed_{i}' for i in range(classes)], [noise(rng) for _ in true], true, chances/chances.sum(1, keepdims=True))


# One of each, made from numbers that no chapter has.
EXAMPLES = {
    Lever: lambda rng: Lever(rng.beta(1, 8, 60)),
    Overfitting: lambda rng: Overfitting(*two_heaps(rng, 150), *two_heaps(rng, 50)),
    Loop: lambda rng: Loop(rng.uniform(0.52, 0.6)),
    Intervals: lambda rng: Intervals(),
    Threshold: lambda rng: threshold_of(rng),
    BinaryLoss: lambda rng: BinaryLoss(),
    LinePad: lambda rng: LinePad(np.arange(30)/10, rng.normal(3, 1, 30)),
    FirstWeights: lambda rng: FirstWeights(rng.normal(0, 5, 500), inputs=100),
    EpochOrder: lambda rng: EpochOrder({order: np.vstack([np.zeros(30), rng.normal(0, 3, (80, 30)).cumsum(0)]) for order in 'ab'},
                                       np.arange(30) % 3 == 1, {order: rng.integers(0, 2, (80, 16, 1)) for order in 'ab'}),
    Descent: lambda rng: Descent(rng.uniform(-1, 1.2, 20), rng.uniform(-1, 2, 20)),
    Forgetting: lambda rng: Forgetting(pd.DataFrame(np.sort(rng.random((6, 2)), 0), [0, 0.01, 0.1, 0.3, 1, 3]),
                                       pd.DataFrame(rng.random((11, 2)), np.linspace(0, 1, 11).round(1))),
    SoftmaxBars: lambda rng: SoftmaxBars(['Birman', 'Ragdoll', 'Siamese', 'Persian'], rng.uniform(-2, 4, 4)),
    Presizing: lambda rng: Presizing(noise(rng).resize((240, 180)), size=64, presize=96),
    Confusion: some_confusion,
}
kinds = pytest.mark.parametrize('kind', EXAMPLES, ids=lambda kind: kind.__name__)


def values(trait, rng):
    "What a setting may be: its ends, all of its values, or anything between"
    if isinstance(trait, traitlets.Enum): return rng.choice(len(trait.values)), list(trait.values)
    if isinstance(trait, traitlets.Bool): return rng.choice(2), [False, True]
    middle = rng.uniform(trait.min, trait.max)
    ends = [trait.min, trait.max, round(middle) if isinstance(trait, traitlets.Int) else middle]
    return rng.choice(3, p=(.15, .15, .7)), ends


def some_settings(figure, rng):
    "Settings drawn at random, the same for a seed"
    drawn = {name: values(trait, rng) for name, trait in sorted(figure.traits(asked=True).items()) if not isinstance(trait, traitlets.List)}
    return {name: found[int(i)] for name, (i, found) in drawn.items()}


def state(figure):
    "What a browser gets to know of a figure"
    found = figure.get_state()
    packed = {name: base64.b64encode(value).decode() for name, value in found.items() if isinstance(value, (bytes, memoryview))}
    return {name: value for name, value in found.items() if name not in packed and not name.startswith('_')}, packed


def same(python, script, place=''):
    "Hold what Python and the script found together, to 1e-6"
    if isinstance(python, dict):
        assert python.keys() == script.keys(), place
        for name in python: same(python[name], script[name], f'{place}.{name}')
    else:
        try: np.testing.assert_allclose(np.asarray(script, dtype=float), np.asarray(python, dtype=float), rtol=1e-6, atol=1e-9, err_msg=place)
        except (TypeError, ValueError): assert script == python, place


@pytest.fixture(scope='module')
def figures(): return {kind: make(np.random.default_rng(7)) for kind, make in EXAMPLES.items()}


@pytest.fixture(scope='module')
def folder(figures, tmp_path_factory):
    "A page for each dress, with every figure, and the website's own script"
    from ipywidgets.embed import embed_data
    folder = tmp_path_factory.mktemp('figures')
    models = embed_data(views=list(figures.values()), drop_defaults=False)['manager_state']['state']
    (folder/'models.js').write_text(f'window.widgetModels = {json.dumps(models)};')
    for file in (ROOT/'website'/'live.js', ROOT/'nbs'/'styles.css'): shutil.copy(file, folder)
    places = ''.join(f'<div class="live-widget" data-model="{figure.model_id}" data-models="models.js"></div>' for figure in figures.values())
    for scheme, attribute in (('light', ''), ('dark', 'data-scheme="alternate"')):
        (folder/f'{scheme}.html').write_text(
            f'<!doctype html><html lang="en" {attribute}><head><meta charset="utf-8"><title>Figures</title><meta name="viewport" content="width=device-width">'
            f'<meta name="smalldocs:offset" content=""><link rel="stylesheet" href="styles.css"></head><body><main><h1>Figures</h1>{places}</main><script src="live.js"></script></body></html>')
    return folder


def open_figures(visit, folder, scheme='light', width=1280):
    page = visit((folder/f'{scheme}.html').as_uri(), viewport={'width': width, 'height': 900})
    for place in page.locator('.live-widget').all(): # Each starts when it comes near
        place.scroll_into_view_if_needed()
        place.locator('.live-figure').wait_for()
    return page


@pytest.fixture(scope='module')
def module_page(folder, browser):
    "A page that all tests may compute in, since they change nothing in it"
    page = browser.new_page()
    page.goto((folder/'light.html').as_uri())
    yield page
    page.close()


def test_every_live_figure_is_tried():
    import importlib
    import pkgutil

    from fastbook_notes.apps import explorables
    for module in pkgutil.iter_modules(explorables.__path__): importlib.import_module(f'{explorables.__name__}.{module.name}')
    assert {kind for kind in LiveFigure.__subclasses__() if kind.__module__.startswith('fastbook_notes')} == set(EXAMPLES)


@kinds
def test_the_browser_computes_what_python_computes(kind, figures, module_page):
    rng, trials = np.random.default_rng(42), []
    figure = EXAMPLES[kind](np.random.default_rng(3))
    for _ in range(TRIALS):
        for name, value in some_settings(figure, rng).items(): setattr(figure, name, value)
        trials.append((*state(figure), figure.computed()))
    found = module_page.evaluate('''async ([source, trials]) => {
        const script = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
        const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
        return trials.map(([state, packed]) => script.compute((name) => name in packed ? bytes(packed[name]) : state[name]));
    }''', [figure._esm, [(plain, packed) for plain, packed, _ in trials]])
    for (plain, _, python), script in zip(trials, found, strict=True): same(python, script, f"{kind.__name__}({({n: plain[n] for n in figure.traits(asked=True)})})")
    assert len({json.dumps(answer) for answer in found}) > TRIALS/4 # The settings matter


@kinds
def test_no_setting_is_believed(kind, figures):
    "A browser can ask for what a setting's range holds, and for nothing else"
    figure = EXAMPLES[kind](np.random.default_rng(3))
    before = {name: getattr(figure, name) for name in figure.keys}
    for name in figure.traits(sync=True):
        for value in (None, 'x', float('nan'), 1e308, -1e308, [], {}, [[['x']]]): figure.set_state({name: value})
    assert {name: getattr(figure, name) for name in figure.keys} == before


@pytest.mark.parametrize('scheme, width', [('light', 1280), ('dark', 390)])
def test_every_figure_can_be_read_in_every_dress(visit, folder, scheme, width):
    page = open_figures(visit, folder, scheme, width)
    page.add_script_tag(path=ROOT/'website'/'node_modules'/'axe-core'/'axe.min.js')
    found = page.evaluate('async () => (await axe.run(document, { preload: false })).violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(", ")}`)')
    assert found == []
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    SCREENS.mkdir(parents=True, exist_ok=True)
    for place, kind in zip(page.locator('.live-figure').all(), EXAMPLES, strict=True): place.screenshot(path=SCREENS/f'{kind.__name__}_{scheme}.png')


@kinds
def test_a_figure_answers_a_key_and_a_drag(kind, visit, folder):
    "Each slider by the keyboard and by the mouse, each drawing that can be dragged, each choice; within 50 ms, and in a sentence"
    page = open_figures(visit, folder)
    figure = page.locator('.live-figure').nth(list(EXAMPLES).index(kind))
    def seen(): return figure.inner_text() + figure.locator('svg, canvas, img').evaluate_all('all => all.map(e => e.outerHTML).join()')
    for slider in figure.locator('input[type=range]').all():
        before, value = seen(), float(slider.input_value())
        slider.focus()
        page.keyboard.press('ArrowRight' if value < float(slider.get_attribute('max')) else 'ArrowLeft')
        assert float(slider.input_value()) != value and seen() != before
        took = slider.evaluate('''async (slider) => {
            const began = performance.now(), n = 10;
            for (let i = 0; i < n; i++) {
                slider.value = +slider.min + (i + 0.5) / n * (slider.max - slider.min);
                slider.dispatchEvent(new Event("input"));
                await Promise.resolve(); await Promise.resolve();
                slider.getBoundingClientRect();
            }
            return (performance.now() - began) / n;
        }''')
        assert took < 50
    for drawing in figure.locator('.plot.draggable').all():
        drawing.scroll_into_view_if_needed()
        box, shown = drawing.bounding_box(), set()
        for share in (0.4, 0.55, 0.7): # Of the width and height
            page.mouse.move(box['x'] + share*box['width'], box['y'] + share*box['height'])
            if share == 0.4: page.mouse.down()
            shown.add(seen())
        page.mouse.up()
        assert len(shown) > 1
    for choice in figure.locator('input[type=radio]:not(:checked), input[type=checkbox]').all():
        before = seen()
        choice.click()
        assert seen() != before
    assert figure.locator('[role=status]').inner_text().strip()
    figure.screenshot(path=SCREENS/f'{kind.__name__}_moved.png')


def drag(page, chart, *places):
    "Press at the first of some places of a drawing, shares of its width and height, and move over the others"
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    for i, (x, y) in enumerate(places):
        page.mouse.move(box['x'] + x*box['width'], box['y'] + y*box['height'])
        if not i: page.mouse.down()
    page.mouse.up()


def test_a_threshold_is_dragged_and_changes_the_verdicts(visit, folder):
    page = open_figures(visit, folder)
    figure = page.locator('.threshold')
    verdicts, said = (lambda: figure.locator('.thumbs').inner_text()), (lambda: figure.locator('[role=status]').inner_text())
    drag(page, figure.locator('svg.plot'), (.5, .5), (.3, .5), (.14, .5))
    low = verdicts()
    assert '+ not there' in low and '− missed' not in low and float(figure.get_by_role('slider').input_value()) < 0.05
    drag(page, figure.locator('svg.plot'), (.14, .5), (1, .5))
    assert '− missed' in verdicts() and '✓' not in verdicts() and 'names 0 labels' in said()
    slider = figure.get_by_role('slider')
    best = Threshold.computed(threshold_of(np.random.default_rng(7)))['best']['f1']
    for _ in range(round(100*(1 - best))): slider.press('ArrowLeft')
    assert 'None of the thresholds tried has a higher F1' in said()


def test_half_precision_is_rounded_as_numpy_does(module_page, figures):
    "All numbers of 16 bits, those half way between two of them and just beside, small and large ones, and what is no number"
    halves = np.arange(2**15, dtype='uint16').view('float16')[:-1].astype(float)
    halves = halves[np.isfinite(halves)]
    between = (halves[1:] + halves[:-1])/2
    rng = np.random.default_rng(42)
    odd = np.array([0, np.inf, np.nan, 65519.999, 65520, 65504, 1e300, 2.0**-25, 2.0**-25*(1 + 1e-15), 5e-324,
                    *np.exp(rng.uniform(-25, 15, 2000))])
    values = np.concatenate([halves, between, np.nextafter(between, 0), np.nextafter(between, 1e9), odd])
    values = np.concatenate([values, -values])
    found = module_page.evaluate('''async ([source, values]) => {
        const script = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
        return values.map((v) => script.half(v));
    }''', [figures[BinaryLoss]._esm, values.tolist()])
    with np.errstate(over='ignore'): np.testing.assert_array_equal(np.array(found, dtype=float), values.astype('float16').astype(float))


def test_the_plain_loss_breaks_where_it_is_said_to(visit, folder):
    "The activation is dragged over the place, in each type of numbers"
    page = open_figures(visit, folder)
    figure = page.locator('.binary-loss')
    for precision in ('float16', 'float32', 'float64'):
        figure.get_by_label(precision).check()
        breaks = BinaryLoss(precision=precision).computed()['breaks']
        for side, word in ((-0.4, 'digits'), (0.4, '1 − p is 0 and its logarithm')): # A pixel is about a quarter
            share = (52 + (breaks + side + 45)/90*(440 - 64))/440
            drag(page, figure.locator('svg.plot'), (.2, .5), (share, .5))
            assert word in figure.locator('[role=status]').inner_text()
        assert '∞' in figure.locator('.legend').inner_text()
    figure.get_by_label('1, there').check()
    assert 'not a number' in figure.locator('.legend').inner_text()
    assert 'though the answer is right' in figure.locator('[role=status]').inner_text()


@pytest.mark.parametrize('kind, dot', [(Descent, '.dot.first'), (FirstWeights, '.dot.second'), (EpochOrder, '.dot.third')])
@pytest.mark.parametrize('width', [390, 580])
def test_what_is_dragged_lies_under_the_pointer(kind, dot, width, visit, folder):
    "In a drawing that fills its place, and in one that has room left at its sides"
    page = open_figures(visit, folder, width=width)
    plot = page.locator('.live-figure').nth(list(EXAMPLES).index(kind)).locator('.plot.draggable').last
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    for share in (.4, .6):
        at = box['x'] + share*box['width'], box['y'] + share*box['height']
        page.mouse.move(*at)
        page.mouse.down()
        page.mouse.up()
        found = plot.locator(dot).last.bounding_box()
        assert abs(found['x'] + found['width']/2 - at[0]) < 5
        if kind is Descent: assert abs(found['y'] + found['height']/2 - at[1]) < 5


def centre(of):
    "The middle of what is on the screen"
    of.scroll_into_view_if_needed()
    box = of.bounding_box()
    return box['x'] + box['width']/2, box['y'] + box['height']/2


def test_bars_corners_and_points_go_where_the_pointer_is(visit, folder):
    "Chapter 5's figures by the pointer; the sliders follow"
    page = open_figures(visit, folder)
    def numbers(figure): return [float(slider.input_value()) for slider in figure.locator('input[type=range]').all()]
    bars, presizing, forgetting = (page.locator(f'.live-figure.{kind}') for kind in ('softmax-bars', 'presizing', 'forgetting'))
    before, (x, y) = numbers(bars), centre(bars.locator('svg.plot.draggable'))
    page.mouse.click(x + 30, y - 60) # A bar in the middle, to well above its middle
    after = numbers(bars)
    assert sum(a != b for a, b in zip(before, after)) == 1 and max(set(after) - set(before)) > 0.5
    before = numbers(presizing)
    page.mouse.move(*centre(presizing.locator('circle').first))
    page.mouse.down()
    page.mouse.move(*centre(presizing.locator('image')))
    page.mouse.move(*(at - 60 for at in centre(presizing.locator('image'))))
    page.mouse.up()
    angle, zoom = numbers(presizing)
    assert [angle, zoom] != before and abs(angle) <= 1 and 1 < zoom <= 2 # On the diagonal, the frame is upright
    corner = presizing.locator('circle').evaluate_all('all => all.map(c => [+c.getAttribute("cx"), +c.getAttribute("cy")])')
    assert min(abs(u - v) + abs(abs(u) - 1/zoom) for u, v in corner) < 0.05
    points = forgetting.locator('svg.draggable circle.dot')
    page.mouse.click(*centre(points.nth(3)))
    assert numbers(forgetting)[0] == 3


def test_a_confusion_matrix_shows_the_pictures_of_a_cell(visit, folder, figures):
    "By the pointer, which takes the nearest cell with pictures, by arrow keys, by the two lists, and by the list of frequent mistakes"
    page, figure = open_figures(visit, folder), figures[Confusion]
    place = page.locator('.live-figure.confusion')
    grid, rows, columns = place.locator('svg.draggable'), *place.locator('select').all()
    def chosen(): return int(rows.input_value()), int(columns.input_value())
    def thumbnails(): return place.locator('.gallery [role=img]').count()
    def there(cell): return sum((figure.true[i], figure.predicted[i]) == cell for i in figure.shown)
    assert chosen() == (figure.row, figure.column) and thumbnails() == there(chosen()) > 0
    assert thumbnails() == sum(pair == chosen() for pair in zip(figure.true, figure.predicted, strict=True))
    before, (x, y) = chosen(), centre(grid)
    page.mouse.click(x + 2, y - 40)
    assert chosen() != before and chosen() in set(zip(figure.true, figure.predicted, strict=True)) and thumbnails() == there(chosen())
    rows.select_option('3')
    columns.select_option('3')
    grid.focus()
    page.keyboard.press('ArrowRight')
    assert chosen() == (3, 4) and thumbnails() == there((3, 4))
    place.locator('button').first.click()
    assert chosen() == (figure.row, figure.column)
