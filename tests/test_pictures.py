"Pictures of every kind, and what only looks like one: each is opened, or refused in one line, quickly and in little memory."
import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from fastbook_notes.data.pictures import MAX_BYTES, BadPicture, open_picture

MUTATED, SECONDS, MEGABYTES = 400, 5, 1000


def scene(width=61, height=43):
    "A picture with edges, a gradient and noise"
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255*((x < width//3) & (y < height//3)), 255*x//width, 255*y//height], -1)
    return Image.fromarray((pixels*0.9 + np.random.default_rng(0).integers(0, 25, pixels.shape)).astype('uint8'))


def encoded(picture, format, **options):
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def exif(orientation):
    notes = Image.Exif()
    notes[0x0112] = orientation
    return notes


def sixteen(picture):
    return Image.fromarray(np.asarray(picture.convert('L')).astype('uint16')*257)


def clear_corner(picture):
    alpha = np.asarray(picture.convert('L'))
    return Image.merge('RGBA', [*picture.split(), Image.fromarray(alpha)])


@cache
def good_files():
    "Small files of all formats and modes, by name"
    picture = scene()
    grey, alpha, palette = picture.convert('L'), clear_corner(picture), picture.quantize(32)
    files = {
        'rgb.jpg': encoded(picture, 'JPEG'), 'grey.jpg': encoded(grey, 'JPEG'), 'cmyk.jpg': encoded(picture.convert('CMYK'), 'JPEG'),
        'progressive.jpg': encoded(picture, 'JPEG', progressive=True), 'comment.jpg': encoded(picture, 'JPEG', comment=b'a'*60_000),
        'rgb.png': encoded(picture, 'PNG'), 'grey.png': encoded(grey, 'PNG'), 'bits.png': encoded(picture.convert('1'), 'PNG'), 'palette.png': encoded(palette, 'PNG'),
        'palette_alpha.png': encoded(palette, 'PNG', transparency=3), 'grey_key.png': encoded(grey, 'PNG', transparency=200), 'rgb_key.png': encoded(picture, 'PNG', transparency=(1, 2, 3)),
        'rgba.png': encoded(alpha, 'PNG'), 'la.png': encoded(alpha.convert('LA'), 'PNG'), 'sixteen.png': encoded(sixteen(picture), 'PNG'),
        'animated.png': encoded(picture, 'PNG', save_all=True, append_images=[picture.rotate(90)]),
        'rgb.gif': encoded(picture, 'GIF'), 'clear.gif': encoded(palette, 'GIF', transparency=0), 'animated.gif': encoded(picture, 'GIF', save_all=True, append_images=[picture.rotate(90)]),
        'rgb.bmp': encoded(picture, 'BMP'), 'palette.bmp': encoded(palette, 'BMP'), 'bits.bmp': encoded(picture.convert('1'), 'BMP'),
        'rgb.tif': encoded(picture, 'TIFF'), 'lzw.tif': encoded(picture, 'TIFF', compression='tiff_lzw'), 'jpeg.tif': encoded(picture, 'TIFF', compression='jpeg'),
        'cmyk.tif': encoded(picture.convert('CMYK'), 'TIFF'), 'sixteen.tif': encoded(sixteen(picture), 'TIFF'), 'float.tif': encoded(picture.convert('F'), 'TIFF'),
        'int.tif': encoded(picture.convert('I'), 'TIFF'), 'rgba.tif': encoded(alpha, 'TIFF', compression='tiff_adobe_deflate'), 'fax.tif': encoded(picture.convert('1'), 'TIFF', compression='group4'),
        'pages.tif': encoded(picture, 'TIFF', save_all=True, append_images=[picture.rotate(90)]), 'big.tif': encoded(picture, 'TIFF', big_tiff=True)}
    if features.check('webp'):
        files |= {'rgb.webp': encoded(picture, 'WEBP'), 'lossless.webp': encoded(alpha, 'WEBP', lossless=True), 'animated.webp': encoded(picture, 'WEBP', save_all=True, append_images=[picture.rotate(90)])}
    return files


def png_chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png_of(width, height, data=b'', depth=8, colour=2, before=b''):
    return b'\x89PNG\r\n\x1a\n' + png_chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)) + before + png_chunk(b'IDAT', zlib.compress(data)) + png_chunk(b'IEND', b'')


def tiff_of(*tags):
    "A little-endian TIFF of (tag, type, count, value)"
    return b'II*\0' + struct.pack('<IH', 8, len(tags)) + b''.join(struct.pack('<HHII', *tag) for tag in tags) + bytes(4)


def tiff_tags(width, height, *more):
    return sorted([(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1), *more])


def bombs():
    "Small files that ask for a lot"
    gif = b'GIF89a' + struct.pack('<HHBBB', 65535, 65535, 0, 0, 0)
    yield 'png of 65535 x 65535', png_of(65535, 65535, bytes(1000))
    yield 'png of 2**31 columns', png_of(2**31 - 1, 1, bytes(1000))
    yield 'png of 8000 x 8000, all there', png_of(8000, 8000, bytes(8000*8001//8), 1, 0)
    yield 'png with text of 200 MB', png_of(4, 4, bytes(52), before=png_chunk(b'zTXt', b'a\0\0' + zlib.compress(bytes(200_000_000))))
    yield 'png with a profile of 200 MB', png_of(4, 4, bytes(52), before=png_chunk(b'iCCP', b'a\0\0' + zlib.compress(bytes(200_000_000))))
    yield 'png with 2,000,000 chunks', png_of(4, 4, bytes(52), before=png_chunk(b'tEXt', b'')*2_000_000)
    yield 'png whose rows are 100 times too many', png_of(40, 40, bytes(40*121*100))
    yield 'gif of 65535 x 65535', gif + b',' + struct.pack('<HHHHB', 0, 0, 65535, 65535, 0) + b'\x08\0;'
    yield 'gif whose frame is larger than itself', b'GIF89a' + struct.pack('<HHBBB', 4, 4, 0, 0, 0) + b',' + struct.pack('<HHHHB', 0, 0, 65535, 65535, 0) + b'\x08\0;'
    yield 'gif with a comment of 40 MB', gif + b'!\xfe' + (b'\xff' + bytes(255))*160_000 + b'\0;'
    yield 'bmp of 100000 x 100000', b'BM' + struct.pack('<IHHIIiiHHIIiiII', 100, 0, 0, 54, 40, 100_000, 100_000, 1, 24, 0, 0, 0, 0, 0, 0)
    yield 'bmp, run-length, of 30000 x 1000', b'BM' + struct.pack('<IHHIIiiHHIIiiII', 100, 0, 0, 1078, 40, 30_000, 1000, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1024) + b'\0\2\xff\xff'*1000
    yield 'tiff of 60000 x 60000', tiff_of(*tiff_tags(60_000, 60_000, (273, 4, 1, 8), (278, 4, 1, 60_000), (279, 4, 1, 8)))
    yield 'tiff of 2**32 columns', tiff_of(*tiff_tags(2**32 - 1, 2**32 - 1, (273, 4, 1, 8)))
    yield 'tiff with a tile of 60000 x 60000', tiff_of(*[tag for tag in tiff_tags(4, 4, (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8), (325, 4, 1, 8)) if tag[0] != 259], (259, 3, 1, 8))
    yield 'tiff with 65535 tags', b'II*\0' + struct.pack('<IH', 8, 65535) + struct.pack('<HHII', 700, 1, 1, 1)*65535
    yield 'tiff whose tags are all of its 20 MB', tiff_of(*tiff_tags(4, 4, *[(40_000 + i, 7, 20_000_000, 8) for i in range(200)])) + bytes(20_000_000)
    yield 'tiff with 4,000,000,000 strips', tiff_of(*tiff_tags(4, 4, (273, 4, 2**32 - 1, 8)))
    yield 'tiff with 5,000,000 strips', tiff_of(*tiff_tags(4, 4, (273, 4, 5_000_000, 8))) + bytes(20_000_000)
    yield 'big tiff with 2**60 tags', b'II+\0' + struct.pack('<HHQQ', 8, 0, 16, 2**60) + bytes(200)
    yield 'tiff that is its own next page', b'II*\0' + struct.pack('<IH', 8, 0) + struct.pack('<I', 8)
    jpeg = encoded(scene(16, 16), 'JPEG')
    yield 'jpeg of 65500 x 65500', jpeg[:2] + jpeg[2:].replace(struct.pack('>HH', 16, 16), struct.pack('>HH', 65500, 65500), 1)
    yield 'jpeg with 10,000,000 filling bytes', b'\xff\xd8' + b'\xff'*10_000_000 + jpeg[2:]
    yield 'jpeg with 10,000,000 bytes between markers', b'\xff\xd8' + b'\0'*10_000_000 + jpeg[2:]
    yield 'jpeg with 5,000,000 markers', b'\xff\xd8' + b'\xff\xe5\0\2'*5_000_000 + jpeg[2:]
    yield 'jpeg with exif of 60 MB', b'\xff\xd8' + (b'\xff\xe1\xff\xffExif\0\0' + bytes(65527))*900 + jpeg[2:]
    large = encoded(Image.new('L', (6500, 6500)), 'JPEG', progressive=True)
    last = large.rindex(b'\xff\xda')
    yield 'jpeg of 42 million pixels with 3,000 scans', large[:-2] + large[last:-2]*3000 + large[-2:]
    if features.check('webp'):
        yield 'webp of 16384 x 16384', b'RIFF' + struct.pack('<I', 30) + b'WEBPVP8X' + struct.pack('<IB3x', 10, 0) + (16383).to_bytes(3, 'little')*2
        yield 'webp of 2**24 x 200', b'RIFF' + struct.pack('<I', 30) + b'WEBPVP8X' + struct.pack('<IB3x', 10, 0) + (2**24 - 1).to_bytes(3, 'little') + (199).to_bytes(3, 'little')


def no_pictures():
    "What people save under a picture's name"
    head = {'a zip': b'PK\3\4', 'a pdf': b'%PDF-1.7\n', 'a gzip': b'\x1f\x8b\x08', 'an elf': b'\x7fELF', 'a pickle': b'\x80\4\x95', 'a photoshop file': b'8BPS\0\1', 'a mach-o': b'\xcf\xfa\xed\xfe', 'an exe': b'MZ',
            'an icon': b'\0\0\1\0\1\0', 'a jpeg 2000': b'\0\0\0\x0cjP  \r\n\x87\n', 'an ogg': b'OggS', 'a wave': b'RIFF\x24\0\0\0WAVEfmt ', 'heic': b'\0\0\0\x18ftypheic', 'avif': b'\0\0\0\x1cftypavif', 'an mp4': b'\0\0\0\x20ftypisom',
            'a ppm': b'P6 4 4 255\n', 'a dds': b'DDS \x7c\0\0\0', 'an eps': b'%!PS-Adobe-3.0 EPSF-3.0\n', 'a fits': b'SIMPLE  =                    T', 'safetensors': struct.pack('<Q', 60) + b'{"a":{"dtype":"F32"', 'a sqlite': b'SQLite format 3\0',
            'a web page': b'<!DOCTYPE html><html>', 'an svg': b'<?xml version="1.0"?><svg onload="alert(1)">', 'json': b'{"error": "not found"}', 'text': b'Not Found', 'utf-16': '\ufeffNicht da'.encode('utf-16'), 'a script': b'#!/bin/sh\ntouch gone\n'}
    for name, start in head.items(): yield name, start + bytes(200)
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 4, 7, 8, 12, 30, 100, 1000, 100_000): yield f'{n} random bytes', rng.integers(0, 256, n, dtype='uint8').tobytes()
    for n in (0, 1, 8, 1000, 1_000_000): yield f'{n} zeros', bytes(n)
    for start in (b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'GIF89a', b'BM', b'II*\0', b'MM\0*', b'MM\0+', b'II+\0', b'RIFF\x30\0\0\0WEBPVP8X', b'RIFF\x30\0\0\0WEBPVP8 ', b'RIFF\x30\0\0\0WEBPVP8L'):
        yield f'only the beginning of {start[:4]}', start
        yield f'{start[:4]} and random bytes', start + rng.integers(0, 256, 3000, dtype='uint8').tobytes()
        yield f'{start[:4]} and zeros', start + bytes(3000)


def odd_paths(folder):
    "Names and places, some of which hold a good picture"
    good = good_files()['rgb.png']
    for name in ('no ending', 'two.png.jpg', 'wrong ending.jpg', ' blanks .png', 'ÜmläutẞИ漢字🐈.png', 'new\nline.png', "quo'te\".png", '-rf.png', '%s{0}$HOME.png', '\u202egnp.png', 'a'*240 + '.png', '.hidden.png'):
        try: (folder/name).write_bytes(good)
        except OSError: continue
        yield f'named {name[:20]!r}', folder/name
    (folder/'folder.jpg').mkdir()
    yield 'a folder', folder/'folder.jpg'
    for name in ('missing.jpg', 'missing\nline.jpg', 'a'*5000 + '.jpg', 'nul\0.jpg', '\udcff.jpg', 'folder.jpg/inside.jpg', ''): yield f'no file {name[:12]!r}', str(folder/name)
    for word in ('', '.', '/', '~', 'https://example.org/cat.jpg', 'data:image/png;base64,iVBORw0KGgo=', 'file:///etc/passwd', os.devnull): yield f'the word {word!r}', word
    if os.name == 'nt': return
    os.mkfifo(folder/'pipe.jpg')
    (folder/'loop.jpg').symlink_to('loop.jpg')
    (folder/'nowhere.jpg').symlink_to('gone.jpg')
    (folder/'link.jpg').symlink_to('no ending')
    for name in ('pipe.jpg', 'loop.jpg', 'nowhere.jpg', 'link.jpg'): yield name, folder/name
    yield 'a device without end', '/dev/zero'
    with (folder/'sparse.bmp').open('wb') as file:
        file.write(b'BM')
        file.truncate(50_000_000_000)
    yield 'a file of 50 GB', folder/'sparse.bmp'


def odd_objects():
    "What a program might hand over by mistake"
    for thing in (None, 3, 2.5, [], {}, object(), np.zeros((4, 4, 3)), ('a.png',), io.BytesIO(b''), Image): yield f'a {type(thing).__name__}', thing
    data = good_files()['rgb.png']
    yield 'a bytearray', bytearray(data)
    yield 'a memoryview', memoryview(data)
    yield 'more bytes than the limit', bytes(MAX_BYTES + 1)
    for mode in ('1', 'L', 'LA', 'La', 'P', 'PA', 'RGB', 'RGBA', 'RGBa', 'RGBX', 'CMYK', 'YCbCr', 'HSV', 'LAB', 'I', 'F', 'I;16', 'I;16B', 'I;16L'): yield f'an open picture in {mode}', Image.new(mode, (7, 5))
    yield 'an open picture of nothing', Image.new('RGB', (0, 5))
    yield 'an open picture of numbers that are none', Image.fromarray(np.full((4, 4), np.nan, 'float32'))
    yield 'an open picture of infinite numbers', Image.fromarray(np.array([[np.inf, -np.inf, 0, 1]], 'float32'))
    yield 'an open picture, cut', Image.open(io.BytesIO(data[:400]))
    closed = Image.open(io.BytesIO(data))
    closed.close()
    yield 'an open picture, closed again', closed


def odd_inputs(folder: Path):
    "The written list of kinds, as (name, source)"
    files = good_files()
    for name, data in files.items():
        yield name, data
        (folder/name).write_bytes(data)
        yield f'{name}, a file', folder/name
        for share in (0.02, 0.2, 0.5, 0.8, 0.97): yield f'{name}, cut at {share:.0%}', data[:int(share*len(data))]
        yield f'{name}, and more behind it', data + b'\xff'*500
        yield f'{name}, something before it', b'\n' + data
    for width, height in ((1, 1), (1, 2), (2, 1), (3, 3), (1, 5000), (5000, 1), (20_000, 2)):
        for format in ('JPEG', 'PNG', 'GIF', 'BMP', 'TIFF'): yield f'{format} of {width} x {height}', encoded(Image.new('RGB', (width, height), 'green'), format)
    for orientation in (*range(10), 255, 65535):
        for format in ('JPEG', 'PNG', 'TIFF'): yield f'{format}, orientation {orientation}', encoded(scene(), format, exif=exif(orientation))
    for notes in (b'Exif\0\0', b'Exif\0\0II*\0\xff\xff\xff\xff', b'Exif\0\0MM\0*' + b'\xff'*300, b'Exif\0\0II*\0\x08\0\0\0\xff\xff' + bytes(50), b'nonsense'*100):
        yield f'JPEG, damaged exif {notes[:12]}', encoded(scene(), 'JPEG', exif=notes)
        yield f'PNG, damaged exif {notes[:12]}', encoded(scene(), 'PNG', exif=notes)
    yield from no_pictures()
    yield from bombs()
    yield from odd_paths(folder)
    yield from odd_objects()


def mutated_files():
    "A Hypothesis strategy: a good file with bytes changed, taken out, put in and repeated"
    from hypothesis import strategies as st
    edge = st.sampled_from([b'\0', b'\xff', b'\x7f', b'\x80', b'\0\0\0\0', b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff', b'\0\0\x01\0', b'\xff\xd8', b'\xff\xda', b'IDAT', b'IEND', b'%s'*4])
    place, what = st.floats(0, 1, exclude_max=True), st.one_of(edge, st.binary(min_size=1, max_size=8))
    change = st.tuples(st.sampled_from(['write', 'write in the header', 'insert', 'delete', 'repeat', 'flip']), place, what, st.integers(1, 64))

    def apply(file, changes):
        name, data = file
        data = bytearray(data)
        for kind, where, new, n in changes:
            if not data: break
            at = int(where*(min(len(data), 80) if kind == 'write in the header' else len(data)))
            if kind.startswith('write'): data[at:at + len(new)] = new
            elif kind == 'insert': data[at:at] = new
            elif kind == 'delete': del data[at:at + n]
            elif kind == 'repeat': data[at:at] = data[at:at + n]*n
            else: data[at] ^= 1 << n % 8
        return name, bytes(data)

    return st.builds(apply, st.sampled_from(sorted(good_files().items())), st.lists(change, min_size=1, max_size=6))


def each_mutated(examine, n=MUTATED):
    "Call a function with n mutated files, the same ones each time"
    from hypothesis import HealthCheck, Phase, given, settings

    @settings(max_examples=n, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(mutated_files())
    def run(file): examine(f'{file[0]}, mutated', file[1])

    run()


def survey(use, folder: Path, mutated=MUTATED) -> dict:
    "Give every odd input to a function, and count what came of it"
    import faulthandler
    found = dict(used=0, refused=0, wrong=[], slowest=0, slowest_name='', opened=[])

    def examine(name, source):
        faulthandler.dump_traceback_later(60, exit=True)
        start = time.process_time()
        try:
            use(source)
            found['used'] += 1
            found['opened'].append(name)
        except BadPicture as e:
            found['refused'] += 1
            if len(str(e).splitlines()) != 1 or not str(e).isprintable() or len(str(e.reason)) > 200 or ' at 0x' in str(e): found['wrong'].append(f'{name}: said {str(e)[:300]!r}')
        except BaseException as e: found['wrong'].append(f'{name}: {type(e).__name__}: {e}'[:300])
        seconds = time.process_time() - start
        if seconds > found['slowest']: found.update(slowest=seconds, slowest_name=name)

    for name, source in odd_inputs(folder): examine(name, source)
    found['written'] = found['used'] + found['refused'] + len(found['wrong'])
    each_mutated(examine, mutated)
    faulthandler.cancel_dump_traceback_later()
    return found | dict(megabytes=most_memory())


def most_memory():
    "The most megabytes that this process had; on Linux, what getrusage says begins with the parent's"
    if Path('/proc/self/status').exists(): return next(int(line.split()[1])/1e3 for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
    from resource import RUSAGE_SELF, getrusage
    return getrusage(RUSAGE_SELF).ru_maxrss/(1e6 if sys.platform == 'darwin' else 1e3)


posix_only = pytest.mark.skipif(os.name == 'nt', reason='measures memory as POSIX counts it')


def run_survey(code, folder):
    "In a process of its own, so that its memory can be told"
    start = f'import sys, pathlib; sys.path.insert(0, {str(Path(__file__).parent)!r})\nimport json\nfrom test_pictures import survey\n'
    done = subprocess.run([sys.executable, '-c', start + code], capture_output=True, text=True, cwd=folder, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def check_survey(found, what, record_property):
    total = found['used'] + found['refused']
    record_property('figure', f"{what}: {total} odd inputs ({found['written']} of a written list, {total - found['written']} mutated): {found['used']} used, {found['refused']} refused, "
                              f"{len(found['wrong'])} other; slowest {found['slowest']:.1f} s ({found['slowest_name']}), {found['megabytes']:.0f} MB at most")
    assert found['wrong'] == []
    assert total >= 500 and found['written'] >= 500 and found['used'] > 100 and found['refused'] > 200
    assert found['slowest'] < SECONDS and found['megabytes'] < MEGABYTES


@posix_only
@pytest.mark.slow
def test_every_odd_input_is_opened_or_refused(tmp_path, record_property):
    found = run_survey('from fastbook_notes.data.pictures import open_picture; print(json.dumps(survey(open_picture, pathlib.Path("."))))', tmp_path)
    check_survey(found, 'Pictures', record_property)
    for name in good_files(): assert name in found['opened'] and f'{name}, a file' in found['opened']
    assert not (tmp_path/'gone').exists()


@pytest.mark.parametrize('name', sorted(good_files()))
def test_good_files_are_what_pillow_sees(name):
    "Held against Pillow's own conversion, on white where there is transparency"
    ours = np.asarray(open_picture(good_files()[name])).astype(int)
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(good_files()[name])))
    if 'sixteen' in name: theirs = np.asarray(scene().convert('L').convert('RGB'))
    elif name in ('float.tif', 'int.tif'):
        values = np.asarray(picture).astype(float)
        theirs = np.repeat(((values - values.min())/(values.max() - values.min())*255).round()[..., None], 3, -1)
    elif picture.has_transparency_data: theirs = np.asarray(Image.alpha_composite(Image.new('RGBA', picture.size, 'white'), picture.convert('RGBA')).convert('RGB'))
    else: theirs = np.asarray(picture.convert('RGB'))
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize('format', ['JPEG', 'PNG', 'TIFF'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_every_orientation_is_undone(format, orientation):
    data = encoded(scene(), format, exif=exif(orientation))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    ours = open_picture(data)
    assert ours.size == expected.size and np.array_equal(np.asarray(ours), np.asarray(expected.convert('RGB')))
    assert np.array_equal(np.asarray(open_picture(ours)), np.asarray(ours))


@pytest.mark.parametrize('name, data, said', [
    ('page.jpg', b'<!DOCTYPE html><p>404', 'a web page'), ('iphone.jpg', b'\0\0\0\x18ftypheic', 'HEIC'), ('empty.png', b'', 'empty'), ('doc.jpg', b'%PDF-1.7', 'a PDF'),
    ('cut.png', good_files()['rgb.png'][:900], 'ends too early'), ('cut.jpg', good_files()['rgb.jpg'][:900], 'ends too early'), ('bomb.png', png_of(65535, 65535), 'pixels'),
    ('huge.png', png_of(8000, 8000, b''), '8000 x 8000 pixels'), ('noise.jpg', b'noise', 'none of JPEG')])
def test_the_reason_is_one_that_people_understand(tmp_path, name, data, said):
    (tmp_path/name).write_bytes(data)
    with pytest.raises(BadPicture) as error: open_picture(tmp_path/name)
    assert said in str(error.value) and name in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_bad_picture_survives_its_way_between_processes():
    "As a data loader's worker sends it"
    error = BadPicture('a.jpg', 'it is empty')
    make, arguments = error.__reduce__()
    assert str(make(*arguments)) == str(error) and make(*arguments).reason == 'it is empty'


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
