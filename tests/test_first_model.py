"The first model of an app: made of words, before anybody has trained one, on photos that come with packages."
import csv
import json
import os
import subprocess
import sys

import pytest
import skimage.data
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from conftest import ROOT
from fastbook_notes.apps.picture_app import Desk, PictureApp, find_guide, package_photos
from fastbook_notes.data.drawings.breeds import BREEDS
from fastbook_notes.errors import NotesError
from fastbook_notes.models.imagenet_words import SYNONYMS
from fastbook_notes.models.model_folder import load_model
from fastbook_notes.models.neither import neither_finder, neither_sentence
from fastbook_notes.models.untrained import WORDS_MODELS, words_model, words_predictor

CHAPTERS = {'cat_or_dog': 1, 'breeds': 5, 'labels': 6}


@pytest.fixture(scope='module', autouse=True)
def own_cache(tmp_path_factory):
    "A cache of its own, and nobody who names data or a model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FASTBOOK_NOTES_CACHE', str(tmp_path_factory.mktemp('cache')))
        for name in ('FASTBOOK_NOTES_DATA', 'FASTBOOK_NOTES_MODEL'): patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope='module')
def guides(own_cache): return {name: find_guide(chapter) for name, chapter in CHAPTERS.items()}


@pytest.fixture(scope='module')
def photos():
    "As the packages' own readers open them"
    china, flower = load_sample_images().images
    names = ('chelsea', 'coffee', 'astronaut', 'rocket')
    arrays = {name: getattr(skimage.data, name)() for name in names} | {'china': china, 'flower': flower}
    return {name: Image.fromarray(pixels) for name, pixels in arrays.items()}


def test_a_cat_is_a_cat_and_a_cup_is_neither(guides, photos):
    shown = {name: guides['cat_or_dog'].answer(photo)[0] for name, photo in photos.items()}
    assert shown['chelsea']['bars'][0][0] == 'cat' and shown['chelsea']['bars'][0][1] > 0.95 and shown['chelsea']['neither'] == ''
    assert shown['coffee']['neither'] == "This looks like neither a dog nor a cat; ImageNet's word for it is espresso."
    assert all(shown[name]['neither'] for name in photos if name != 'chelsea')


def test_breeds_say_none_of_37(guides, photos):
    assert guides['breeds'].answer(photos['coffee'])[0]['neither'].startswith('This looks like none of the 37 breeds; ')
    assert guides['breeds'].answer(photos['chelsea'])[0]['neither'] == ''


def test_labels_name_what_is_there_and_never_say_neither(guides, photos):
    shown = {name: guides['labels'].answer(photo)[0] for name, photo in photos.items()}
    assert 'cat' in shown['chelsea']['headline'] and 'person' in shown['astronaut']['headline']
    assert {answer['neither'] for answer in shown.values()} == {''}


def test_the_page_says_what_the_model_stands_on(guides):
    for guide in guides.values():
        assert "ImageNet's words for its classes; trained on no picture of yours or ours" in guide.about
        assert not guide.drawn and guide.predictor.metrics == {} and "ImageNet's words" in guide.predictor.card
        assert [file.stem for file in guide.samples] == ['chelsea', 'coffee', 'astronaut', 'rocket', 'china', 'flower']


def test_app_predict_and_chapter_say_the_same(guides, photos, tmp_path):
    from fastbook_notes.intro import cat_or_dog
    from fastbook_notes.models.predict_folder import predict_folder
    from fastbook_notes.multicat import label_probabilities
    from fastbook_notes.pet_breeds import top_breeds
    for name, photo in photos.items(): photo.save(tmp_path/f'{name}.png')
    rows = {}
    for name in ('cat_or_dog', 'breeds'):
        predict_folder(words_model(name), tmp_path, out := tmp_path/f'{name}.csv', report=str)
        with out.open(newline='', encoding='utf-8') as file: rows[name] = {row['file']: row for row in csv.DictReader(file)}
    for name, photo in photos.items():
        file = tmp_path/f'{name}.png'
        shown = {app: guide.answer(photo)[0]['bars'] for app, guide in guides.items()}
        label, share = cat_or_dog(words_model('cat_or_dog'), file)
        row = rows['cat_or_dog'][file.name]
        assert label == row['label'] == shown['cat_or_dog'][0][0]
        assert share == pytest.approx(float(row['probability']), abs=1e-5) == pytest.approx(shown['cat_or_dog'][0][1], abs=1e-5)
        breed, chance = top_breeds(words_model('breeds'), file, 1)[0]
        assert breed == rows['breeds'][file.name]['label'] and breed.replace('_', ' ') == shown['breeds'][0][0]
        assert chance == pytest.approx(shown['breeds'][0][1], abs=1e-5)
        assert dict(shown['labels']) == pytest.approx(label_probabilities(words_model('labels'), file).to_dict(), abs=1e-5)


@pytest.mark.parametrize('name', WORDS_MODELS)
def test_the_folder_is_a_model_folder(name, own_cache, photos):
    folder, spec = words_model(name), WORDS_MODELS[name]
    loaded, made = load_model(folder), words_predictor(spec)
    assert tuple(loaded.vocab) == spec.vocabulary and loaded.several == (name == 'labels')
    assert torch.equal(loaded.probabilities(photos['chelsea']), made.probabilities(photos['chelsea']))
    assert words_model(name) == folder and json.loads((folder/'model.json').read_text())['data']['trained'] == 0


def test_pictures_are_prepared_as_for_the_chapters_learner(own_cache, tmp_path):
    "What `train` would write of the same learner before its first epoch, except for the temperature"
    from fastbook_notes.intro import cat_dataloaders, cat_learner
    from fastbook_notes.models.description import describe_learner
    for i in range(20): Image.new('RGB', (40, 30), (12*i, 0, 0)).save(tmp_path/f'{"Birman" if i % 2 else "pug"}_{i}.png')
    learn = cat_learner(cat_dataloaders(tmp_path, size=224, limit=None))
    theirs, ours = describe_learner(learn, names=['dog', 'cat']), load_model(words_model('cat_or_dog')).description
    parts = ('architecture', 'head', 'vocabulary', 'names', 'labels', 'picture')
    assert {part: getattr(theirs, part) for part in parts} == {part: getattr(ours, part) for part in parts}
    assert torch.allclose(learn.model[1][-1].weight, load_model(words_model('cat_or_dog')).parts[1][-1].weight)


def test_neither_needs_the_body_as_it_came_and_a_word_for_each_class():
    spec = WORDS_MODELS['cat_or_dog']
    assert neither_finder(words_predictor(spec)) is not None
    trained_on = words_predictor(spec)
    trained_on.parts[0].model.bn2.running_mean += 0.01
    assert neither_finder(trained_on) is None
    assert neither_finder(words_predictor(type(spec)('x', ('a', 'b'), ('cat', 'my garden'), ()))) is None
    assert 'none of the 3 classes' in neither_sentence('hare', ['a', 'b', 'c'])


def test_the_card_counts_the_breeds_without_a_word():
    "A relative is one of several words; 'cat' is any cat; another name for the very breed is one word"
    words = {breed: SYNONYMS.get(breed.replace('_', ' ')) for breed in BREEDS}
    relatives = [breed for breed, found in words.items() if found and len(found) > 1]
    any_cat = [breed for breed, found in words.items() if found == ['cat']]
    limits = ' '.join(WORDS_MODELS['breeds'].limits)
    assert f'no word for {len(relatives) + len(any_cat)} of them: {len(relatives)} begin as their relatives' in limits
    assert all(breed.replace('_', ' ') in limits for breed in any_cat) and len(any_cat) == 3


def test_unknown_names_are_told():
    with pytest.raises(NotesError, match='use cat_or_dog, breeds, labels'): words_model('dinosaurs')
    assert set(WORDS_MODELS['breeds'].vocabulary) == set(BREEDS) and len(package_photos()) == 6


CALM = '''
import sys
from fastbook_notes.apps.picture_app import find_guide, package_photos
from fastbook_notes.data.pictures import open_picture
guide = find_guide(1)
print(guide.answer(open_picture(package_photos()[0]))[0]['headline'])
print(sorted(name for name in ('fastai', 'skimage', 'sklearn') if name in sys.modules))
'''


def test_the_first_answer_needs_no_network_no_fastai_and_no_data(blocked_network, tmp_path):
    env = {**os.environ, **blocked_network.environment, 'FASTBOOK_NOTES_CACHE': str(tmp_path), 'FASTBOOK_NOTES_DATA': ''}
    done = subprocess.run([sys.executable, '-c', CALM], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['cat, 100%', '[]'] and blocked_network.tried() == []
    assert [path.name for path in tmp_path.iterdir()] == ['models']


def test_the_command_predicts_without_a_folder(command, tmp_path):
    Image.fromarray(skimage.data.chelsea()).save(tmp_path/'mine.png')
    done = command('predict', 'cat_or_dog', 'mine.png')
    assert done.returncode == 0, done.stderr
    assert 'mine.png,cat,' in (tmp_path/'predictions.csv').read_text()


def test_an_app_is_served_without_training(own_cache, monkeypatch):
    from fastbook_notes.apps.serving import find_app, prepare_app
    monkeypatch.setattr('fastbook_notes.train.chapter_model', lambda *_: pytest.fail('it trained'))
    assert prepare_app(find_app('cat_or_dog')) is None
    app, sent = PictureApp('Cat or dog', Desk(lambda: find_guide(1))), []
    app.send = lambda content, buffers=None: sent.append((content, buffers))
    for content in ({'kind': 'hello'}, {'kind': 'sample', 'index': 1, 'id': 3}):
        app._handle_msg({'content': {'data': {'method': 'custom', 'content': content}}, 'buffers': []})
    assert [content['kind'] for content, _ in sent] == ['state', 'ready', 'answer'] and 'espresso' in sent[-1][0]['neither']
