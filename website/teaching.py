"""What only the page Teach it yourself has: the words that a class can start from, pictures to try, and the description that a taught
model is given. Its body and its engine are those of the other pages."""
import hashlib
import io
import json
from pathlib import Path

import numpy as np

from fastbook_notes import __version__
from fastbook_notes.data.drawings.breeds import BREEDS
from fastbook_notes.data.drawings.pets import draw_pet
from fastbook_notes.data.drawings.scenes import VOC_CLASSES
from fastbook_notes.models.heads import ANCHOR
from fastbook_notes.models.imagenet_words import SYNONYMS, class_words
from fastbook_notes.models.lite0 import LITE0_SHA256
from fastbook_notes.models.predictor import Predictor
from fastbook_notes.models.words import lite0_classifier, mean_rows

# What lies about in a house or runs around it, by ImageNet's own words for it
EVERYDAY = ('acoustic guitar', 'backpack', 'balloon', 'ballpoint', 'banana', 'baseball', 'basketball', 'bath towel', 'book jacket', 'broom',
            'bucket', 'candle', 'cellular telephone', 'coffee mug', 'computer keyboard', 'corkscrew', 'cowboy hat', 'croquet ball', 'cup',
            'dumbbell', 'fig', 'goldfish', 'golf ball', 'Granny Smith', 'guinea pig', 'hair spray', 'hammer', 'hamster', 'hen', 'lampshade',
            'laptop', 'lemon', 'lighter', 'mask', 'measuring cup', 'mitten', 'mouse', 'mushroom', 'nail', 'notebook', 'orange',
            'paper towel', 'perfume', 'pill bottle', 'pillow', 'pineapple', 'ping-pong ball', 'pizza', 'plate', 'pot', 'purse', 'quilt',
            'remote control', 'rubber eraser', 'running shoe', 'sandal', 'screw', 'screwdriver', 'soccer ball', 'sock', 'spatula',
            'strawberry', 'sunglasses', 'syringe', 'table lamp', 'teapot', 'teddy', 'tennis ball', 'toilet tissue', 'tray', 'umbrella',
            'vase', 'violin', 'wall clock', 'wallet', 'water bottle', 'whistle', 'wooden spoon')
SAMPLES = {'cat': ('Siamese', 'Bengal', 'Persian', 'Ragdoll', 'Bombay', 'Sphynx'),
           'dog': ('beagle', 'pug', 'samoyed', 'boxer', 'shiba_inu', 'yorkshire_terrier')}
TO_TRY = ('Abyssinian', 'chihuahua', 'Birman', 'keeshond')


def plain(name:str) -> str: return name.lower().replace('_', ' ').replace('-', ' ') # As a page looks names up


def words() -> tuple[dict[str, int], bytes]: # Rows by name, '' for any other; and the rows, bias last, in half precision
    "What classes start from"
    groups = {plain(name): tuple(class_words(name)[0]) for name in (*SYNONYMS, *BREEDS, *VOC_CLASSES, *EVERYDAY)} | {'': tuple(range(1000))}
    kept = sorted(set(groups.values()))
    weight, bias = mean_rows(lite0_classifier(), kept)
    rows = np.concatenate([weight.numpy(), bias.numpy()[:, None]], 1)
    return {name: kept.index(group) for name, group in groups.items()}, rows.astype('<f2').tobytes()


def description(predictor:Predictor) -> dict:
    "A taught model's, but for its classes and what the page measures"
    fields = json.loads(predictor.description.model_dump_json())
    source = 'Photos of somebody who taught it in a web browser, by "Teach it yourself" of fastbook_notes; they were not uploaded.'
    return {**fields, 'temperature': 1.0, 'metrics': {}, 'versions': {'fastbook-notes': __version__},
            'data': dict(name=source, licence='', trained=0, validated=0)}


def drawing(breed:str) -> bytes: # JPEG
    drawn = io.BytesIO()
    draw_pet(breed, seed='teach').save(drawn, 'JPEG', quality=85)
    return drawn.getvalue()


def write_teaching(folder:Path, predictor:Predictor, told:dict):
    "The page's folder, from an app's `model.json` and its model"
    rows, packed = words()
    pictures = {breed: f'{plain(breed).replace(" ", "-")}.jpg' for breed in (*SAMPLES['cat'], *SAMPLES['dog'], *TO_TRY)}
    own = dict(words=dict(app='Teach it yourself', pick='Choose photos to ask about', mostBytes=told['words']['mostBytes'],
                          limits='They stay on this device, too. If you teach it more, earlier answers stay as they were.'),
               about='It always answers with one of your classes, even when a photo shows none of them.',
               names=[], layers=[], note='', temperature=1.0, strength=ANCHOR, description=description(predictor), installed=LITE0_SHA256,
               starts=dict(file=f'words.bin?{hashlib.sha256(packed).hexdigest()[:8]}', bytes=len(packed), rows=rows),
               samples={name: [pictures[breed] for breed in breeds] for name, breeds in SAMPLES.items()},
               to_try=[pictures[breed] for breed in TO_TRY])
    shared = {key: value for key, value in told.items() if key not in ('head', 'others', 'neither')}
    files = {'model.json': json.dumps({**shared, **own}).encode(), 'words.bin': packed}
    folder.mkdir(parents=True)
    for name, data in {**files, **{file: drawing(breed) for breed, file in pictures.items()}}.items(): (folder/name).write_bytes(data)
