"""The apps whose pages answer in the reader's browser: what `fastbook-notes publish` makes of their models, with one body and one
engine for all of them"""
import hashlib
import io
import json
import shutil
from pathlib import Path

from fastbook_notes.apps import publishing
from fastbook_notes.apps.picture_app import package_photos
from fastbook_notes.data.pictures import open_picture
from fastbook_notes.files import atomic_folder, cache_folder
from fastbook_notes.models.model_folder import load_model
from fastbook_notes.models.untrained import words_model

SAMPLE_SIDE = 320 # Pixels
APPS = {'cat_or_dog': 'Cat or dog', 'breeds': 'Breeds', 'labels': "What's in the picture"}
SHARED = ('answering.js', 'picture_app.js', 'worker.js', 'preparation.js', 'page.css', 'body.onnx.gz', 'others.bin.gz')


def samples() -> dict[str, bytes]: # JPEG by file
    "Photos of installed packages, to be tried by whoever has none at hand"
    files = {}
    for photo in package_photos():
        picture, made = open_picture(photo), io.BytesIO()
        picture.thumbnail((SAMPLE_SIDE, SAMPLE_SIDE))
        picture.save(made, 'JPEG', quality=85)
        files[f'samples/{photo.stem}.jpg'] = made.getvalue()
    return files


def write_models(folder:Path):
    "All files, each model's own in a folder of its name"
    from teaching import write_teaching  # With fastai, which a site whose models are made doesn't need
    bodies, photos = set(), samples()
    for name, title in APPS.items():
        predictor = load_model(words_model(name))
        files = publishing.page_files(predictor, title, report=lambda line, name=name: print(f'{name}: {line}'))
        told = json.loads(files['model.json'])
        for part in {'body', 'engine', 'others'} & told.keys(): told[part]['file'] = f"../{told[part]['file']}"
        told['samples'] = [dict(title=Path(file).stem, file=f'../{file}') for file in photos]
        own = {f'{name}/head.bin': files['head.bin'], f'{name}/model.json': json.dumps(told).encode()}
        shared = {file: data for file, data in files.items() if file in SHARED or file.startswith('engine/')}
        for file, data in {**shared, **own, **photos}.items():
            (folder/file).parent.mkdir(parents=True, exist_ok=True)
            (folder/file).write_bytes(data)
        bodies.add(told['body']['digest'])
        if name == 'cat_or_dog': write_teaching(folder/'teach', predictor, told)
    if len(bodies) != 1: raise ValueError('the apps have different bodies, and their pages share one')


def copy_models(out:Path):
    "Put the models into a site; they are made once, and again when what makes them has changed"
    front_ends = [*sorted(publishing.PAGE.iterdir()), *sorted(publishing.FRONT_ENDS.glob('*.[jc]s*'))]
    ours = Path(publishing.__file__), Path(__file__), Path(__file__).with_name('teaching.py')
    sources = [*ours, publishing.engine_folder()/publishing.ENGINE_FILES[0], *front_ends]
    key = hashlib.sha256(b''.join(file.read_bytes() for file in sources))
    key.update(json.dumps([words_model(name).name for name in APPS]).encode())
    made = cache_folder()/'published'/key.hexdigest()[:16]
    if not made.is_dir():
        with atomic_folder(made) as part: write_models(part)
    shutil.copytree(made, out)
