"Pictures of every kind, and what only looks like one: each is opened, or refused in one line, quickly and in little memory."
import io
import os
import struct
import subprocess
import sys
import threading
import warnings
from collections import Counter

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from fastbook_notes.data.picture_formats import MAX_PIXELS, excess_of, format_of
from fastbook_notes.data.pictures import (
    PICTURE_ENDINGS,
    BadPicture,
    describe_passed,
    is_picture,
    open_picture,
    picture_block,
    picture_files,
    walk_pictures,
)
from fastbook_notes.errors import NotesError
from odd_pictures import (
    BOMBS,
    STARTS,
    check_survey,
    encoded,
    exif,
    good_files,
    motion_photo,
    png_of,
    run_survey,
    scene,
    tiff_of,
    tiff_tags,
    turned_files,
)

# Pillow opens these, quickly and in little memory
HARMLESS = {'png of 8000 x 8000, all there', 'png whose rows are 100 times too many', 'jpeg of 13000 x 13000, cut'}
posix_only = pytest.mark.skipif(os.name == 'nt', reason='measures memory as POSIX counts it')


@posix_only
@pytest.mark.slow
def test_every_odd_input_is_opened_or_refused(tmp_path, record_property):
    code = 'from fastbook_notes.data.pictures import open_picture; print(json.dumps(survey(open_picture, pathlib.Path("."))))'
    found = run_survey(code, tmp_path)
    check_survey(found, 'Pictures', record_property)
    for name in (*good_files(), *turned_files()): assert name in found['opened']
    for name in good_files(): assert f'{name}, a file' in found['opened']
    assert not [name for name in found['opened'] if name in BOMBS and name not in HARMLESS]
    assert not (tmp_path/'gone').exists()


def as_pillow_sees(name, data):
    "Pillow's own conversion, on white where there is transparency"
    if name.endswith('.heic'): picture = pillow_heif.open_heif(io.BytesIO(data)).to_pillow()
    else: picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if 'sixteen' in name: picture = scene().convert('L')
    elif name in ('float.tif', 'int.tif'):
        values = np.asarray(picture).astype(float)
        picture = Image.fromarray(((values - values.min())/(values.max() - values.min())*255).round().astype('uint8'))
    elif picture.has_transparency_data:
        picture = Image.alpha_composite(Image.new('RGBA', picture.size, 'white'), picture.convert('RGBA'))
    return np.asarray(picture.convert('RGB')).astype(int)


@pytest.mark.parametrize('name', sorted(good_files()))
def test_good_files_are_what_pillow_sees(name):
    ours, theirs = np.asarray(open_picture(good_files()[name])).astype(int), as_pillow_sees(name, good_files()[name])
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize('name', sorted(turned_files()))
def test_every_orientation_is_undone(name):
    "By EXIF, and by XMP alone"
    data = turned_files()[name]
    ours, theirs = open_picture(data), ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert('RGB')
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))
    assert (ours.size == scene().size) == (int(name.split('_')[1].split('.')[0]) < 5)
    assert np.array_equal(np.asarray(open_picture(ours)), np.asarray(ours)) and 'exif' not in ours.info


def test_a_heic_is_the_picture_that_was_written():
    "Held against the original: it is not turned twice, and transparency lies on white"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype='uint8')
    smooth = Image.fromarray(pixels).resize((160, 100), Image.Resampling.BICUBIC)
    def error(data, meant): return np.abs(np.asarray(open_picture(data)).astype(float) - np.asarray(meant)).mean()
    assert error(encoded(smooth, 'HEIF', quality=95), smooth) < 4
    assert error(encoded(smooth, 'HEIF', quality=95, exif=exif(6).tobytes()), ImageOps.exif_transpose(noted(smooth, 6))) < 4
    half = Image.merge('RGBA', [*smooth.split(), Image.new('L', smooth.size, 128)])
    assert error(encoded(half, 'HEIF', quality=95), Image.alpha_composite(Image.new('RGBA', half.size, 'white'), half).convert('RGB')) < 4


def noted(picture, orientation):
    "The same pixels, with a note on how to turn them"
    return Image.open(io.BytesIO(encoded(picture, 'PNG', exif=exif(orientation))))


def test_an_open_picture_is_left_as_it_was():
    data = encoded(scene(2100, 2050), 'JPEG', exif=exif(6))
    picture = Image.open(io.BytesIO(data))
    opened = open_picture(picture)
    assert picture.size == (2100, 2050) and picture.getexif()[0x0112] == 6 and opened.size == (1025, 1050)
    plain = Image.new('RGB', (3, 2))
    plain.info['mine'] = 1
    assert open_picture(plain) is not plain and plain.info == {'mine': 1}


REASONS = [
    ('page.jpg', b'<!DOCTYPE html><p>404', 'a web page'), ('iphone.jpg', b'\0\0\0\x18ftypheic', 'HEIC'), ('empty.png', b'', 'empty'),
    ('doc.jpg', b'%PDF-1.7', 'a PDF'), ('clip.heic', b'\0\0\0\x14ftypisom\0\0\0\0mp42', 'a video'), ('noise.jpg', b'noise', 'none of JPEG'),
    ('cut.png', good_files()['rgb.png'][:900], 'ends too early'), ('cut.jpg', good_files()['rgb.jpg'][:900], 'ends too early'),
    ('bomb.png', png_of(65535, 65535), 'pixels'), ('huge.png', png_of(9000, 9000, b''), '9000 x 9000 pixels, and more than 65 million'),
    ('cut.heic', good_files()['rgb.heic'][:-300], 'damaged'),
    ('middle.png', good_files()['rgb.png'][:3000] + bytes(500) + good_files()['rgb.png'][3500:], 'damaged')]


@pytest.mark.parametrize('name, data, reason', REASONS, ids=[name for name, *_ in REASONS])
def test_the_reason_is_one_that_people_understand(tmp_path, name, data, reason):
    (tmp_path/name).write_bytes(data)
    with pytest.raises(BadPicture) as error: open_picture(tmp_path/name)
    assert reason in str(error.value) and name in str(error.value) and len(str(error.value).splitlines()) == 1


def test_avif_without_a_decoder_says_so(monkeypatch):
    monkeypatch.setattr('PIL.features.check', lambda name: name != 'avif')
    with pytest.raises(BadPicture, match='Pillow that is installed was built without'): open_picture(b'\0\0\0\x18ftypavif\0\0\0\0avifmif1')


def test_formats_are_told_by_their_first_bytes():
    endings = {'JPEG': 'jpg', 'TIFF': 'tif'}
    for name, data in good_files().items():
        format = format_of(data[:1000])
        assert name.endswith('.' + endings.get(format, format.lower())) and excess_of(data) == ''
    assert {name for name, start in STARTS.items() if format_of(start)} == {'heic', 'avif'}


# Large pictures and those with something behind them

def photo(width, height):
    "Smooth colours and fine noise, like a photo"
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype='uint8')).resize((width, height), Image.Resampling.BICUBIC)
    noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype='uint8')).resize((width, height), Image.Resampling.BILINEAR)
    return Image.blend(smooth, noise, 0.15)


def test_a_video_behind_a_photo_is_no_reason_to_refuse_it():
    "Twelve megapixels and 6 MB: what was refused had as many scans as its video had FF DA"
    data = motion_photo(photo(4032, 3024), 6)
    assert data.count(b'\xff\xda') > 1000 and excess_of(data) == ''
    assert open_picture(data).size == (2016, 1512)


@pytest.mark.slow
@pytest.mark.parametrize('size, expected', [
    ((2047, 2047), (2047, 2047)), ((2048, 2048), (1024, 1024)), ((2049, 3001), (1025, 1501)),
    ((4095, 4095), (2048, 2048)), ((4096, 4200), (1024, 1050)), ((4000, 1000), (4000, 1000))])
def test_large_pictures_come_out_smaller_in_every_format(size, expected):
    "By the same rule, and close to Pillow's own reduction of the whole"
    picture = photo(*size)
    whole = np.asarray(picture.reduce(round(size[0]/expected[0]))).astype(float)
    for format, options in {'JPEG': dict(quality=95, subsampling=0), 'PNG': dict(compress_level=1)}.items():
        ours = open_picture(encoded(picture, format, **options))
        assert ours.size == expected and np.abs(np.asarray(ours) - whole).mean() < (2 if format == 'JPEG' else 1e-9)
    turned = open_picture(encoded(picture, 'JPEG', exif=exif(6)))
    assert turned.size == expected[::-1]


@pytest.mark.slow
@posix_only
@pytest.mark.parametrize('size', [(8160, 6144), (9248, 6936), (12_000, 9000)], ids=['50 MP', '64 MP', '108 MP'])
def test_phones_largest_photos_take_little_memory(tmp_path, size, record_property):
    "Less than 300 MB with Python and NumPy in it"
    Image.new('RGB', (size[0]//8, size[1]//8), 'teal').resize(size).save(tmp_path/'a.jpg', quality=90)
    code = 'from fastbook_notes.data.pictures import open_picture; print(json.dumps([*open_picture("a.jpg").size, most_memory()]))'
    width, height, megabytes = run_survey(code, tmp_path)
    record_property('figure', f'Pictures: a JPEG of {size[0]} x {size[1]} opened in {megabytes:.0f} MB')
    assert 1024 <= min(width, height) < 2048 and megabytes < 300


def test_limits_allow_what_phones_take():
    assert MAX_PIXELS >= 9248*6936
    progressive = encoded(photo(2100, 2100), 'JPEG', progressive=True)
    many = progressive.replace(struct.pack('>HH', 2100, 2100), struct.pack('>HH', 9300, 9300), 1)
    assert excess_of(progressive) == '' and excess_of(many) == 'pixels for a JPEG in several scans'


# Errors on their way, warnings and global state

def test_a_bad_picture_survives_its_way_between_processes():
    error = BadPicture('a.jpg', 'it is empty')
    make, arguments = error.__reduce__()
    assert str(make(*arguments)) == str(error) and make(*arguments).reason == 'it is empty'


@pytest.mark.parametrize('workers', [0, pytest.param(1, marks=posix_only)])
def test_a_damaged_picture_is_one_line_in_training(tmp_path, workers):
    "From a data loader's worker as well, which PyTorch passes on as text"
    from fastai.vision.all import DataBlock, Resize
    data = good_files()['rgb.png']
    for i in range(4): (tmp_path/f'{i}.png').write_bytes(data)
    (tmp_path/'2.png').write_bytes(data[:3000] + bytes(500) + data[3500:])
    block = DataBlock(picture_block(), item_tfms=Resize(32), splitter=lambda items: ([0, 1, 2], [3]))
    dls = block.dataloaders(picture_files(tmp_path), bs=3, num_workers=workers)
    with pytest.raises(BadPicture) as error: dls.train.one_batch() if not workers else list(dls.train)
    message = str(error.value)
    assert len(message.splitlines()) == 1 and message.startswith(f"{tmp_path/'2.png'} can't be read as a picture: it is damaged")


@pytest.mark.slow
def test_threads_leave_warnings_as_they_were():
    before, data = list(warnings.filters), list(good_files().values())
    threads = [threading.Thread(target=lambda: [open_picture(file) for file in data]) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert list(warnings.filters) == before


def test_no_warning_is_shown():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter('always')
        for data in (*good_files().values(), tiff_of(*tiff_tags(4, 4, (273, 4, 1, 8), (273, 4, 1, 8))), png_of(10_000, 10_000)):
            try: open_picture(data)
            except BadPicture: pass
    assert shown == []


def test_nothing_is_registered_with_pillow(tmp_path):
    "HEIC is opened, and Pillow itself still can't"
    (tmp_path/'a.heic').write_bytes(good_files()['rgb.heic'])
    code = ('from PIL import Image; Image.init(); before = set(Image.OPEN), dict(Image.EXTENSION), Image.MAX_IMAGE_PIXELS\n'
            'from fastbook_notes.data.pictures import open_picture; import sys; assert "pillow_heif" not in sys.modules\n'
            'open_picture("a.heic"); assert before == (set(Image.OPEN), dict(Image.EXTENSION), Image.MAX_IMAGE_PIXELS)')
    subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True, timeout=60)


# Which files are pictures

def tree(folder, *names):
    for name in names:
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).touch()


@pytest.mark.parametrize('path, folder, expected', [
    ('a.jpg', None, True), ('A.JPEG', None, True), ('deep/a.jfif', None, True), ('a.heic', None, True),
    ('a.AVIF', None, True), ('./a.png', None, True),
    ('../x/a.png', None, True), ('a.txt', None, False), ('jpg', None, False), ('.jpg', None, False), ('._a.jpg', None, False),
    ('.ipynb_checkpoints/a.jpg', None, False), ('__MACOSX/x/a.jpg', None, False), ('_set_aside/train/a.jpg', None, False),
    ('/home/.cache/data/a.jpg', None, True),
    ('/home/.cache/data/.x/a.jpg', '/home/.cache/data', False), ('/home/.cache/data/x/a.jpg', '/home/.cache/data', True)])
def test_what_is_a_picture(path, folder, expected):
    assert is_picture(path, folder) is expected


def test_every_format_has_its_ending():
    for name in (*good_files(), *turned_files()): assert is_picture(name), name
    assert all(ending == ending.lower() and ending.startswith('.') for ending in PICTURE_ENDINGS)


def test_what_is_passed_over_is_counted(tmp_path):
    tree(tmp_path/'.data', 'b/2.jpg', 'b/10.heic', 'a/1.jfif', 'z.webp', '._z.webp', 'a/.ipynb_checkpoints/1.jfif',
         '__MACOSX/z.webp', '_set_aside/y.png', 'notes.txt', 'more.txt', 'README', 'x.' + 'y'*50)
    (tmp_path/'.data'/'folder.jpg').mkdir()
    passed = Counter()
    assert list(walk_pictures(tmp_path/'.data', passed)) == ['z.webp', 'a/1.jfif', 'b/10.heic', 'b/2.jpg']
    assert passed == {'hidden': 4, '.txt': 2, 'of no known ending': 2}
    assert describe_passed(passed) == '4 hidden, 2 .txt, 2 of no known ending' and describe_passed(Counter()) == ''
    assert picture_files(tmp_path/'.data') == sorted(tmp_path/'.data'/name for name in walk_pictures(str(tmp_path/'.data')))


@posix_only
def test_linked_folders_are_followed_once(tmp_path):
    data, other = tmp_path/'data', tmp_path/'other'
    tree(data, 'a/1.jpg', 'b/2.jpg')
    tree(other, '3.jpg', 'deep/4.jpg')
    (data/'a'/'up').symlink_to('..')
    (data/'a'/'beside').symlink_to('../b')
    (data/'above').symlink_to(tmp_path)
    (data/'c').symlink_to(other)
    (data/'d').symlink_to(other)
    (data/'e').symlink_to(other/'deep')
    (other/'back').symlink_to(data)
    (data/'link.jpg').symlink_to('a/1.jpg')
    (data/'nowhere.jpg').symlink_to('gone')
    (data/'loop').symlink_to('loop')
    passed = Counter()
    assert list(walk_pictures(data, passed)) == ['link.jpg', 'nowhere.jpg', 'a/1.jpg', 'b/2.jpg', 'c/3.jpg', 'c/deep/4.jpg']
    assert passed == {'linked folders': 6, 'of no known ending': 1}


def test_names_come_one_by_one(tmp_path, monkeypatch):
    "A folder is read when its turn comes, and a folder that can't be read is counted"
    tree(tmp_path, *(f'{n}/{i}.jpg' for n in 'abc' for i in range(3)))
    opened, scan = [], os.scandir
    def scandir(folder):
        opened.append(os.path.basename(folder))
        if opened[-1] == 'b': raise PermissionError(13, 'Permission denied')
        return scan(folder)
    monkeypatch.setattr(os, 'scandir', scandir)
    names = walk_pictures(tmp_path, passed := Counter())
    assert next(names) == 'a/0.jpg' and opened == [tmp_path.name, 'a']
    assert len(list(names)) == 5 and passed == {"folders that can't be read": 1}


@pytest.mark.parametrize('list_files', [walk_pictures, picture_files])
def test_a_folder_that_is_not_there_is_one_line(list_files, tmp_path):
    (tmp_path/'file').touch()
    for name in ('none', 'file'):
        with pytest.raises(NotesError, match='There is no folder'): list_files(tmp_path/name)
