"Tables of files: pictures of every kind, what only looks like one, and what asks for too much. `survey` gives them all to a function."
import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, features

from fastbook_notes.data.picture_formats import MAX_BYTES
from fastbook_notes.data.pictures import BadPicture

MUTATED, SECONDS, MEGABYTES = 400, 5, 1000


def scene(width=61, height=43):
    "A picture with edges, a gradient and noise"
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255*((x < width//3) & (y < height//3)), 255*x//width, 255*y//height], -1)
    return Image.fromarray((pixels*0.9 + np.random.default_rng(0).integers(0, 25, pixels.shape)).astype('uint8'))


def encoded(picture, format, **options):
    file = io.BytesIO()
    if format == 'HEIF':
        heif = pillow_heif.from_pillow(picture)
        for frame in options.pop('append_images', ()): heif.add_from_pillow(frame)
        heif.save(file, **options)
    else: picture.copy().save(file, format, **options)
    return file.getvalue()


def exif(orientation):
    notes = Image.Exif()
    notes[0x0112] = orientation
    return notes


def xmp(orientation):
    "A note on the orientation in XMP alone, as some editors write it"
    return (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
            b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>' % orientation)


def sixteen(picture):
    return Image.fromarray(np.asarray(picture.convert('L')).astype('uint16')*257)


def clear_corner(picture):
    return Image.merge('RGBA', [*picture.split(), picture.convert('L')])


def motion_photo(picture, megabytes=0.2, **options):
    "A JPEG with a video behind its end, in which the bytes of JPEG's markers come up by chance"
    video = np.random.default_rng(2).integers(0, 256, int(megabytes*1e6), dtype='uint8').tobytes()
    return encoded(picture, 'JPEG', **options) + b'\0\0\0\x18ftypmp42' + video + b'\xff\xda\0\x08'*2000


@cache
def good_files():
    "Small files of all formats and modes, by name"
    picture = scene()
    grey, alpha, palette, turned = picture.convert('L'), clear_corner(picture), picture.quantize(32), picture.rotate(90)
    def frames(): return dict(save_all=True, append_images=[turned.copy()])
    table = {
        'rgb.jpg': (picture, 'JPEG', {}), 'grey.jpg': (grey, 'JPEG', {}), 'cmyk.jpg': (picture.convert('CMYK'), 'JPEG', {}),
        'progressive.jpg': (picture, 'JPEG', dict(progressive=True)), 'comment.jpg': (picture, 'JPEG', dict(comment=b'a'*60_000)),
        'restarts.jpg': (picture, 'JPEG', dict(restart_marker_blocks=1)), 'several.jpg': (picture, 'MPO', frames()),
        'rgb.png': (picture, 'PNG', {}), 'grey.png': (grey, 'PNG', {}), 'bits.png': (picture.convert('1'), 'PNG', {}),
        'palette.png': (palette, 'PNG', {}), 'palette_alpha.png': (palette, 'PNG', dict(transparency=3)),
        'grey_key.png': (grey, 'PNG', dict(transparency=200)), 'rgb_key.png': (picture, 'PNG', dict(transparency=(1, 2, 3))),
        'rgba.png': (alpha, 'PNG', {}),
        'la.png': (alpha.convert('LA'), 'PNG', {}), 'sixteen.png': (sixteen(picture), 'PNG', {}),
        'animated.png': (picture, 'PNG', frames()),
        'rgb.gif': (picture, 'GIF', {}), 'clear.gif': (palette, 'GIF', dict(transparency=0)), 'animated.gif': (picture, 'GIF', frames()),
        'rgb.bmp': (picture, 'BMP', {}), 'palette.bmp': (palette, 'BMP', {}), 'bits.bmp': (picture.convert('1'), 'BMP', {}),
        'rgb.tif': (picture, 'TIFF', {}), 'lzw.tif': (picture, 'TIFF', dict(compression='tiff_lzw')),
        'jpeg.tif': (picture, 'TIFF', dict(compression='jpeg')), 'cmyk.tif': (picture.convert('CMYK'), 'TIFF', {}),
        'sixteen.tif': (sixteen(picture), 'TIFF', {}),
        'float.tif': (picture.convert('F'), 'TIFF', {}), 'int.tif': (picture.convert('I'), 'TIFF', {}),
        'rgba.tif': (alpha, 'TIFF', dict(compression='tiff_adobe_deflate')),
        'fax.tif': (picture.convert('1'), 'TIFF', dict(compression='group4')), 'pages.tif': (picture, 'TIFF', frames()),
        'big.tif': (picture, 'TIFF', dict(big_tiff=True)),
        'rgb.heic': (picture, 'HEIF', {}), 'grey.heic': (grey, 'HEIF', {}), 'alpha.heic': (alpha, 'HEIF', {}),
        'several.heic': (picture, 'HEIF', frames())}
    if features.check('webp'):
        table |= {'rgb.webp': (picture, 'WEBP', {}), 'lossless.webp': (alpha, 'WEBP', dict(lossless=True)),
                  'animated.webp': (picture, 'WEBP', frames())}
    if features.check('avif'):
        table |= {'rgb.avif': (picture, 'AVIF', {}), 'alpha.avif': (alpha, 'AVIF', {}), 'animated.avif': (picture, 'AVIF', frames())}
    files = {name: encoded(image, format, **options) for name, (image, format, options) in table.items()}
    return files | {'motion.jpg': motion_photo(picture)}


@cache
def turned_files():
    "A picture in each of the orientations, by name"
    formats = ['JPEG', 'PNG', 'TIFF', *(['WEBP'] if features.check('webp') else []), *(['AVIF'] if features.check('avif') else [])]
    files = {f'{format}_{turn}.{format.lower()}': encoded(scene(), format, exif=exif(turn)) for format in formats for turn in range(1, 9)}
    return files | {f'xmp_{turn}.jpeg': encoded(scene(), 'JPEG', xmp=xmp(turn)) for turn in range(1, 9)}


def png_chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png_of(width, height, data=b'', depth=8, colour=2, before=b''):
    header = png_chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + before + png_chunk(b'IDAT', zlib.compress(data)) + png_chunk(b'IEND', b'')


def tiff_of(*tags):
    "A little-endian TIFF of (tag, type, count, value)"
    return b'II*\0' + struct.pack('<IH', 8, len(tags)) + b''.join(struct.pack('<HHII', *tag) for tag in tags) + bytes(4)


def tiff_tags(width, height, *more):
    return sorted([(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1), *more])


def bmp_of(width, height, depth, compression, *colours):
    start = 54 if depth == 24 else 1078
    return b'BM' + struct.pack('<IHHIIiiHHIIiiII', 100, 0, 0, start, 40, width, height, 1, depth, compression, 0, 0, 0, *colours or (0, 0))


def jpeg_of(width, height, before=b''):
    "A header that promises this size before the few bytes of a small JPEG"
    jpeg = encoded(scene(16, 16), 'JPEG')
    return jpeg[:2] + before + jpeg[2:].replace(struct.pack('>HH', 16, 16), struct.pack('>HH', height, width), 1)


def many_scans(width, height, n):
    jpeg = encoded(Image.new('L', (width, height)), 'JPEG', progressive=True)
    last = jpeg.rindex(b'\xff\xda')
    return jpeg[:-2] + jpeg[last:-2]*n + jpeg[-2:]


def webp_of(width, height):
    size = (width - 1).to_bytes(3, 'little') + (height - 1).to_bytes(3, 'little')
    return b'RIFF' + struct.pack('<I', 30) + b'WEBPVP8X' + struct.pack('<IB3x', 10, 0) + size


def heic_of(size):
    "A small HEIC whose header says that it has other dimensions"
    data = encoded(scene(64, 64), 'HEIF')
    return data.replace(b'ispe' + bytes(4) + struct.pack('>II', 64, 64), b'ispe' + bytes(4) + struct.pack('>II', *size))


def with_exif(parts: int) -> bytes:
    "A JPEG with 65 kB of Exif again and again"
    return jpeg_of(16, 16, (b'\xff\xe1\xff\xffExif\0\0' + bytes(65527))*parts)


def made_elsewhere(call: str) -> bytes:
    "What a function of this file returns, in a process of its own: the memory that an encoder takes is not that of opening a picture"
    here = str(Path(__file__).parent)
    code = f'import sys; sys.path.insert(0, {here!r}); import odd_pictures; sys.stdout.buffer.write(odd_pictures.{call})'
    return subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, check=True).stdout


GIF = b'GIF89a' + struct.pack('<HHBBB', 65535, 65535, 0, 0, 0)
SMALL_GIF = b'GIF89a' + struct.pack('<HHBBB', 4, 4, 0, 0, 0)
TILE_TAGS = [(322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8), (325, 4, 1, 8)]

LARGE_TEXT, EMPTY_TAGS = b'a\0\0' + zlib.compress(bytes(200_000_000)), struct.pack('<HHII', 700, 1, 1, 1)*65535

# Small files that ask for a lot
BOMBS = {
    'png of 65535 x 65535': lambda: png_of(65535, 65535, bytes(1000)),
    'png of 2**31 columns': lambda: png_of(2**31 - 1, 1, bytes(1000)),
    'png of 8000 x 8000, all there': lambda: png_of(8000, 8000, bytes(8000*1001), 1, 0),
    'png with text of 200 MB': lambda: png_of(4, 4, bytes(52), before=png_chunk(b'zTXt', LARGE_TEXT)),
    'png with a profile of 200 MB': lambda: png_of(4, 4, bytes(52), before=png_chunk(b'iCCP', LARGE_TEXT)),
    'png with 2,000,000 chunks': lambda: png_of(4, 4, bytes(52), before=png_chunk(b'tEXt', b'')*2_000_000),
    'png whose rows are 100 times too many': lambda: png_of(40, 40, bytes(40*121*100)),
    'gif of 65535 x 65535': lambda: GIF + b',' + struct.pack('<HHHHB', 0, 0, 65535, 65535, 0) + b'\x08\0;',
    'gif whose frame is larger than itself': lambda: SMALL_GIF + b',' + struct.pack('<HHHHB', 0, 0, 65535, 65535, 0) + b'\x08\0;',
    'gif with a comment of 40 MB': lambda: GIF + b'!\xfe' + (b'\xff' + bytes(255))*160_000 + b'\0;',
    'bmp of 100000 x 100000': lambda: bmp_of(100_000, 100_000, 24, 0),
    'bmp, run-length, of 30000 x 1000': lambda: bmp_of(30_000, 1000, 8, 1, 256, 0) + bytes(1024) + b'\0\2\xff\xff'*1000,
    'tiff of 60000 x 60000': lambda: tiff_of(*tiff_tags(60_000, 60_000, (273, 4, 1, 8), (278, 4, 1, 60_000), (279, 4, 1, 8))),
    'tiff of 2**32 columns': lambda: tiff_of(*tiff_tags(2**32 - 1, 2**32 - 1, (273, 4, 1, 8))),
    'tiff with a tile of 60000 x 60000':
        lambda: tiff_of(*[tag for tag in tiff_tags(4, 4, *TILE_TAGS) if tag[0] != 259], (259, 3, 1, 8)),
    'tiff with 65535 tags': lambda: b'II*\0' + struct.pack('<IH', 8, 65535) + EMPTY_TAGS,
    'tiff with 65535 tags, its mark the wrong way round': lambda: b'II\0*' + struct.pack('<IH', 8, 65535) + EMPTY_TAGS,
    'tiff whose tags are all of its 20 MB':
        lambda: tiff_of(*tiff_tags(4, 4, *[(40_000 + i, 7, 20_000_000, 8) for i in range(200)])) + bytes(20_000_000),
    'tiff with 4,000,000,000 strips': lambda: tiff_of(*tiff_tags(4, 4, (273, 4, 2**32 - 1, 8))),
    'tiff with 5,000,000 strips': lambda: tiff_of(*tiff_tags(4, 4, (273, 4, 5_000_000, 8))) + bytes(20_000_000),
    'big tiff with 2**60 tags': lambda: b'II+\0' + struct.pack('<HHQQ', 8, 0, 16, 2**60) + bytes(200),
    'tiff that is its own next page': lambda: b'II*\0' + struct.pack('<IH', 8, 0) + struct.pack('<I', 8),
    'jpeg of 65500 x 65500': lambda: jpeg_of(65500, 65500),
    'jpeg of 13000 x 13000, cut': lambda: jpeg_of(13_000, 13_000),
    'jpeg with 10,000,000 filling bytes': lambda: jpeg_of(16, 16, b'\xff'*10_000_000),
    'jpeg of filling bytes alone': lambda: b'\xff\xd8' + b'\xff'*10_000_000,
    'jpeg with 10,000,000 bytes between markers': lambda: jpeg_of(16, 16, b'\0'*10_000_000),
    'jpeg with 10,000,000 bytes between later markers': lambda: jpeg_of(16, 16, b'\xff\xe5\0\2' + b'\0'*10_000_000),
    'jpeg with 5,000,000 markers': lambda: jpeg_of(16, 16, b'\xff\xe5\0\2'*5_000_000),
    'jpeg with 5,000,000 restarts in its header': lambda: jpeg_of(16, 16, b'\xff\xd0'*5_000_000),
    'jpeg with 5,000,000 ends in its header': lambda: jpeg_of(16, 16, b'\xff\xd9'*5_000_000),
    'jpeg with exif of 60 MB': lambda: made_elsewhere('with_exif(900)'),
    'jpeg of 42 million pixels with 3,000 scans': lambda: made_elsewhere('many_scans(6500, 6500, 3000)'),
    'jpeg of 81 million pixels in several scans': lambda: made_elsewhere('many_scans(9000, 9000, 3)'),
    'webp of 16384 x 16384': lambda: webp_of(2**14, 2**14),
    'webp of 2**24 x 200': lambda: webp_of(2**24, 200),
    'heic of 60000 x 60000': lambda: heic_of((60_000, 60_000)),
    'heic of 9000 x 9000': lambda: heic_of((9000, 9000)),
    'heic of nothing': lambda: heic_of((0, 0)),
}

# What people save under a picture's name: how it begins
STARTS = {
    'a zip': b'PK\3\4', 'a pdf': b'%PDF-1.7\n', 'a gzip': b'\x1f\x8b\x08', 'an elf': b'\x7fELF',
    'a pickle': b'\x80\4\x95', 'a photoshop file': b'8BPS\0\1',
    'a mach-o': b'\xcf\xfa\xed\xfe', 'an exe': b'MZ', 'an icon': b'\0\0\1\0\1\0',
    'a jpeg 2000': b'\0\0\0\x0cjP  \r\n\x87\n', 'an ogg': b'OggS',
    'a wave': b'RIFF\x24\0\0\0WAVEfmt ', 'heic': b'\0\0\0\x18ftypheic', 'avif': b'\0\0\0\x1cftypavif', 'an mp4': b'\0\0\0\x20ftypisom',
    'a ppm': b'P6 4 4 255\n', 'a dds': b'DDS \x7c\0\0\0',
    'an eps': b'%!PS-Adobe-3.0 EPSF-3.0\n', 'a fits': b'SIMPLE  =                    T',
    'safetensors': struct.pack('<Q', 60) + b'{"a":{"dtype":"F32"', 'a sqlite': b'SQLite format 3\0', 'a web page': b'<!DOCTYPE html><html>',
    'an svg': b'<?xml version="1.0"?><svg onload="alert(1)">', 'json': b'{"error": "not found"}', 'text': b'Not Found',
    'utf-16': '\ufeffNicht da'.encode('utf-16'), 'a script': b'#!/bin/sh\ntouch gone\n'}
MAGIC = (b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'GIF89a', b'BM', b'II*\0', b'MM\0*', b'MM\0+', b'II+\0', b'RIFF\x30\0\0\0WEBPVP8X',
         b'RIFF\x30\0\0\0WEBPVP8 ', b'RIFF\x30\0\0\0WEBPVP8L', b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', b'\0\0\0\x18ftypavif\0\0\0\0avifmif1')


def no_pictures():
    "Files that only look like pictures, by name"
    rng = np.random.default_rng(1)
    def random(n): return rng.integers(0, 256, n, dtype='uint8').tobytes()
    table = {name: start + bytes(200) for name, start in STARTS.items()}
    table |= {f'{n} random bytes': random(n) for n in (1, 2, 3, 4, 7, 8, 12, 30, 100, 1000, 100_000)}
    table |= {f'{n} zeros': bytes(n) for n in (0, 1, 8, 1000, 1_000_000)}
    for start in MAGIC:
        table[f'only the beginning of {start[:12]}'] = start
        table[f'{start[:16]} and random bytes'] = start + random(3000)
        table[f'{start[:16]} and zeros'] = start + bytes(3000)
    return table


NAMES = ('no ending', 'two.png.jpg', 'wrong ending.jpg', ' blanks .png', 'ÜmläutẞИ漢字🐈.png', 'new\nline.png', "quo'te\".png",
         '-rf.png', '%s{0}$HOME.png',
         '\u202egnp.png', 'a'*240 + '.png', '.hidden.png', 'caf\udce9.png')
NO_FILES = ('missing.jpg', 'missing\nline.jpg', 'a'*5000 + '.jpg', 'nul\0.jpg', '\udcff.jpg', 'folder.jpg/inside.jpg', '')
WORDS = ('', '.', '/', '~', 'https://example.org/cat.jpg', 'data:image/png;base64,iVBORw0KGgo=', 'file:///etc/passwd', os.devnull)


def odd_paths(folder):
    "Names and places, some of which hold a good picture, by name"
    table = {}
    for name in NAMES:
        try: (folder/name).write_bytes(good_files()['rgb.png'])
        except OSError: continue
        table[f'named {name[:20]!r}'] = folder/name
    (folder/'folder.jpg').mkdir()
    table['a folder'] = folder/'folder.jpg'
    table |= {f'no file {name[:12]!r}': str(folder/name) for name in NO_FILES} | {f'the word {word!r}': word for word in WORDS}
    if os.name == 'nt': return table
    os.mkfifo(folder/'pipe.jpg')
    links = {'loop.jpg': 'loop.jpg', 'nowhere.jpg': 'gone.jpg', 'link.jpg': 'no ending'}
    for name, target in links.items(): (folder/name).symlink_to(target)
    with (folder/'sparse.bmp').open('wb') as file:
        file.write(b'BM')
        file.truncate(50_000_000_000)
    return table | {name: folder/name for name in ('pipe.jpg', *links, 'sparse.bmp')} | {'a device without end': '/dev/zero'}


MODES = ('1', 'L', 'LA', 'La', 'P', 'PA', 'RGB', 'RGBA', 'RGBa', 'RGBX', 'CMYK', 'YCbCr', 'HSV', 'LAB', 'I', 'F', 'I;16', 'I;16B', 'I;16L')


def odd_objects():
    "What a program might hand over by mistake, by name"
    things = (None, 3, 2.5, [], {}, object(), np.zeros((4, 4, 3)), ('a.png',), io.BytesIO(b''), Image)
    data = good_files()['rgb.png']
    closed = Image.open(io.BytesIO(data))
    closed.close()
    table = {f'a {type(thing).__name__}': thing for thing in things}
    table |= {f'an open picture in {mode}': Image.new(mode, (7, 5)) for mode in MODES}
    return table | {
        'a bytearray': bytearray(data), 'a memoryview': memoryview(data), 'more bytes than the limit': bytes(MAX_BYTES + 1),
        'an open picture of nothing': Image.new('RGB', (0, 5)),
        'an open picture of numbers that are none': Image.fromarray(np.full((4, 4), np.nan, 'float32')),
        'an open picture of infinite numbers': Image.fromarray(np.array([[np.inf, -np.inf, 0, 1]], 'float32')),
        'an open picture, cut': Image.open(io.BytesIO(data[:400])), 'an open picture, closed again': closed}


SIZES = ((1, 1), (1, 2), (2, 1), (3, 3), (1, 5000), (5000, 1), (20_000, 2))
DAMAGED_EXIF = (b'Exif\0\0', b'Exif\0\0II*\0\xff\xff\xff\xff', b'Exif\0\0MM\0*' + b'\xff'*300,
                b'Exif\0\0II*\0\x08\0\0\0\xff\xff' + bytes(50), b'nonsense'*100)


def odd_inputs(folder: Path):
    "All of the tables, as (name, source)"
    for name, data in good_files().items():
        yield name, data
        (folder/name).write_bytes(data)
        yield f'{name}, a file', folder/name
        for share in (0.02, 0.2, 0.5, 0.8, 0.97): yield f'{name}, cut at {share:.0%}', data[:int(share*len(data))]
        yield f'{name}, and more behind it', data + b'\xff'*500
        yield f'{name}, something before it', b'\n' + data
        yield f'{name}, its middle zeros', data[:len(data)//2] + bytes(len(data)//4) + data[len(data)//2 + len(data)//4:]
    for size in SIZES:
        for format in ('JPEG', 'PNG', 'GIF', 'BMP', 'TIFF'):
            yield f'{format} of {size[0]} x {size[1]}', encoded(Image.new('RGB', size, 'green'), format)
    yield from turned_files().items()
    for orientation in (0, 9, 255, 65535):
        for format in ('JPEG', 'PNG', 'TIFF'):
            yield f'{format}, orientation {orientation}', encoded(scene(), format, exif=exif(orientation))
    for notes in DAMAGED_EXIF:
        for format in ('JPEG', 'PNG'): yield f'{format}, damaged exif {notes[:12]}', encoded(scene(), format, exif=notes)
    yield from no_pictures().items()
    for name, make in BOMBS.items(): yield name, make()
    yield from odd_paths(folder).items()
    yield from odd_objects().items()


EDGES = [b'\0', b'\xff', b'\x7f', b'\x80', b'\0\0\0\0', b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff',
         b'\0\0\x01\0', b'\xff\xd8', b'\xff\xda', b'IDAT', b'IEND', b'%s'*4]


def mutated_files():
    "A Hypothesis strategy: a good file with bytes changed, taken out, put in and repeated"
    from hypothesis import strategies as st
    place, what = st.floats(0, 1, exclude_max=True), st.one_of(st.sampled_from(EDGES), st.binary(min_size=1, max_size=8))
    kind = st.sampled_from(['write', 'write in the header', 'insert', 'delete', 'repeat', 'flip'])
    change = st.tuples(kind, place, what, st.integers(1, 64))

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

    @settings(max_examples=n, derandomize=True, database=None, deadline=None,
              suppress_health_check=list(HealthCheck), phases=[Phase.generate])
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
            message = str(e)
            if len(message.splitlines()) != 1 or not message.isprintable() or len(e.reason) > 200 or ' at 0x' in message:
                found['wrong'].append(f'{name}: {message[:300]!r}')
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
    if Path('/proc/self/status').exists():
        return next(int(line.split()[1])/1e3 for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
    from resource import RUSAGE_SELF, getrusage
    return getrusage(RUSAGE_SELF).ru_maxrss/(1e6 if sys.platform == 'darwin' else 1e3)


def run_survey(code, folder):
    "In a process of its own, so that its memory can be told"
    start = f'import json, pathlib, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom odd_pictures import most_memory, survey\n'
    done = subprocess.run([sys.executable, '-c', start + code], capture_output=True, text=True, cwd=folder, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def check_survey(found, what, record_property):
    total = found['used'] + found['refused']
    kinds = f"{found['written']} of a written list, {total - found['written']} mutated"
    record_property('figure', f"{what}: {total} odd inputs ({kinds}): {found['used']} used, {found['refused']} refused, "
                              f"{len(found['wrong'])} other; slowest {found['slowest']:.1f} s ({found['slowest_name']}), "
                              f"{found['megabytes']:.0f} MB at most")
    assert found['wrong'] == []
    assert total >= 500 and found['written'] >= 500 and found['used'] > 100 and found['refused'] > 200
    assert found['slowest'] < SECONDS and found['megabytes'] < MEGABYTES
