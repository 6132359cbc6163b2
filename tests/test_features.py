"Features that are kept: never those of something else, and the same again when nothing has changed."
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from fastbook_notes.data.pictures import picture_block
from fastbook_notes.quiet_imports import import_quietly

vision = import_quietly('fastai.vision.all')
FACTOR = 1.0


def noise(seed, width=40, height=30):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype='uint8'))


@pytest.fixture
def files(tmp_path):
    "Twenty pictures of one size, as BMP, so that other pixels leave size and time as they were"
    found = [tmp_path/f'{"ab"[i % 2]}_{i}.bmp' for i in range(20)]
    for i, file in enumerate(found): noise(i).save(file)
    return found


class Body(torch.nn.Module):
    "A small body with weights, buffers of both kinds and a plain attribute"
    def __init__(self, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.scale = torch.nn.Conv2d(3, 4, 3, 2), torch.nn.BatchNorm2d(4), scale
        self.register_buffer('shift', torch.zeros(1), persistent=False)

    def forward(self, x): return self.norm(self.conv(x))*self.scale + self.shift


def learner(files, item_tfms=(), batch_tfms=None, body=None, block=None, bs=4, **kwargs):
    data = vision.DataBlock((block or vision.ImageBlock, vision.CategoryBlock), get_y=lambda file: file.name[0],
                            splitter=lambda items: (range(16), range(16, 20)),
                            item_tfms=[vision.Resize(24), *item_tfms], batch_tfms=batch_tfms, **kwargs)
    head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2))
    return vision.Learner(data.dataloaders(files, bs=bs, num_workers=0, device='cpu'),
                          torch.nn.Sequential(body or Body(), head), loss_func=vision.CrossEntropyLossFlat())


def key(learn, views=0, ds_idx=0):
    from fastbook_notes.models.features import feature_key
    return feature_key(learn, ds_idx, views)


def scaled(by):
    "A transform by a closure"
    def scale(x: vision.TensorImage): return x*by
    return vision.Transform(scale)


def by_global(x: vision.TensorImage): return x*FACTOR
def helper(x): return x + 1
def by_helper(x: vision.TensorImage): return helper(x)


class Rare(vision.Transform):
    "Changes pictures of one size only, which none of the data's has"
    def __init__(self, width, by): self.width, self.by = width, by
    def encodes(self, x: vision.PILImage): return x.point(lambda v: v*self.by) if x.width == self.width else x


class Chosen(vision.Transform):
    "Has a set of texts, and one attribute that is set afterwards"
    def __init__(self, *words): self.words = set(words)
    def encodes(self, x: vision.TensorImage): return x*len(self.words)


def edited(source):
    "A transform whose `encodes` has this body, as if its cell had been run again"
    space = dict(vision=vision, torch=torch)
    exec(f'class Edited(vision.Transform):\n    def encodes(self, x: vision.TensorImage): return {source}', space)
    return space['Edited']()


def rewritten(file, seed):
    "Other pixels, of the same size and the same time"
    before = file.stat()
    noise(seed).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def with_attribute(thing, **values):
    for name, value in values.items(): setattr(thing, name, value)
    return thing


def opened_otherwise(cls, source, **kwargs):
    pixels = np.asarray(Image.open(source).convert('RGB') if isinstance(source, os.PathLike) else source)
    return cls(Image.fromarray(255 - pixels))


def changed_weight(index, way):
    def change(learn):
        with torch.no_grad(): way(list(learn.model[0].parameters())[index])
    return change


def set_forward(learn): learn.model[0].forward = lambda x: torch.relu(type(learn.model[0]).forward(learn.model[0], x))


class OtherForward(Body):
    def forward(self, x): return super().forward(x).abs()


class OtherLoader(vision.TfmdDL):
    def do_item(self, s): return super().do_item(s)


def others(files, monkeypatch):
    "Learners whose features are, or may be, other than those of the plain one; as (what is different, its key)"
    def with_change(change):
        learn = learner(files)
        change(learn)
        return learn

    def globally(module, name, value, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            return key(learner(files, **kwargs))

    here, R = sys.modules[__name__], vision.Resize
    yield 'nothing', key(learner(files))
    yield 'validation pictures', key(learner(files), ds_idx=1)
    for by in (2, 3): yield f'a closure over {by}', key(learner(files, batch_tfms=[scaled(by)]))
    yield 'a function with a global', key(learner(files, batch_tfms=[by_global]))
    yield 'the global is another', globally(here, 'FACTOR', 2.0, batch_tfms=[by_global])
    yield 'a function with a helper', key(learner(files, batch_tfms=[by_helper]))
    yield 'the helper is another', globally(here, 'helper', lambda x: x + 2, batch_tfms=[by_helper])
    for constant in ('x*2', 'x*3', 'x*2.5', 'x.flip(-1)'):
        yield f'encodes is {constant}', key(learner(files, batch_tfms=[edited(constant)]))
    for width, by in ((1234, 0), (1235, 0), (1234, 0.5)):
        yield f'acts on {width} pixels by {by}', key(learner(files, item_tfms=[Rare(width, by)]))
    for words in (('a', 'b'), ('a', 'c'), ('a', 'b', 'c')): yield f'a set of {words}', key(learner(files, batch_tfms=[Chosen(*words)]))
    yield 'an attribute set afterwards', key(learner(files, batch_tfms=[with_attribute(Chosen('a', 'b'), words={'d', 'e'})]))
    for mode in (Image.Resampling.BICUBIC, Image.Resampling.NEAREST):
        yield f'resampled by {mode}', key(learner(files, item_tfms=[with_attribute(R(20), resamples=(mode, mode))]))
    yield 'resized twice', key(learner(files, item_tfms=[R(20)]))
    yield 'squished', key(learner(files, item_tfms=[R(20, 'squish')]))
    for mean in (0.4, 0.4001):
        yield f'normalised by {mean}', key(learner(files, batch_tfms=[vision.Normalize.from_stats([mean]*3, [0.3]*3)]))
    yield 'opened by this package', key(learner(files, block=picture_block))
    yield 'another kind of picture', key(learner(files, block=vision.ImageBlock(vision.PILImageBW), body=None))
    yield 'another loader', key(learner(files, dl_type=OtherLoader))
    yield 'a library that was patched', globally(R, 'before_call', lambda self, b, split_idx: with_attribute(self, pcts=(0, 0)))
    yield 'a library that opens otherwise', globally(vision.PILImage, 'create', classmethod(opened_otherwise))
    for views, bs in ((1, 4), (2, 4), (2, 8)):
        yield f'{views} views in batches of {bs}', key(learner(files, bs=bs), views)
    for setting in (dict(), dict(max_rotate=11), dict(p_affine=0.7501), dict(max_lighting=0.21), dict(p_lighting=0.76)):
        yield f'augmented by {setting}', key(learner(files, batch_tfms=vision.aug_transforms(**setting)), 2)
    yield 'a weight', key(with_change(changed_weight(0, lambda p: p.data.view(-1)[0].add_(1e-6))))
    yield 'a running mean', key(with_change(lambda learn: learn.model[0].norm.running_mean.add_(0.1)))
    yield 'a buffer that is not saved', key(with_change(lambda learn: learn.model[0].shift.add_(1)))
    yield 'a plain attribute', key(learner(files, body=Body(2.0)))
    yield 'eps of a normalisation', key(with_change(lambda learn: with_attribute(learn.model[0].norm, eps=1e-3)))
    yield 'another forward', key(learner(files, body=OtherForward()))
    yield 'a forward of its own', key(with_change(set_forward))
    yield 'another pooling', key(with_change(lambda learn: learn.model[1].__setitem__(0, torch.nn.AdaptiveMaxPool2d(1))))
    rewritten(files[7], 99)
    yield 'pixels of one picture', key(learner(files))
    files[3].rename(files[3].with_name('a_99.bmp'))
    yield 'the name of one picture', key(learner([*files[:3], files[3].with_name('a_99.bmp'), *files[4:]]))
    yield 'another order', key(learner([*files[:2][::-1], *[f for f in files[2:] if f.is_file()], files[0]]))


@pytest.mark.slow
def test_whatever_changes_there_is_another_key(files, monkeypatch, record_property):
    found = list(others(files, monkeypatch))
    kept = {what: digest for what, digest in found if digest is not None}
    same = [(a, b) for i, (a, x) in enumerate(kept.items()) for b, y in list(kept.items())[:i] if x == y]
    record_property('figure',
                    f'Features: {len(found)} changes, {len(kept)} of them with a key of their own, '
                    f'{len(found) - len(kept)} not kept, {len(same)} mistaken')
    assert same == []
    assert len(found) >= 40 and len(kept) >= 0.8*len(found), [what for what, digest in found if digest is None]


def hooked(learn): learn.model[0].conv.register_forward_hook(lambda module, args, result: result*2)


def test_what_can_not_be_told_is_not_kept(files):
    "A hook, a generator, a module of one's own"
    learn = learner(files)
    hooked(learn)
    assert key(learn) is None
    for tfm in (with_attribute(Chosen('a'), more=(i for i in 'ab')), uses_own_module): assert key(learner(files, batch_tfms=[tfm])) is None


mine = types.ModuleType('mine')
mine.scale = lambda x: x*2
def uses_own_module(x: vision.TensorImage): return mine.scale(x)


def test_one_that_holds_itself_has_a_key(files):
    endless = Chosen('a')
    endless.me = endless
    assert key(learner(files, batch_tfms=[endless])) is not None


def test_nothing_changed(files):
    "Also not after training pictures went through the transforms, and after the body was in training"
    tfms = dict(item_tfms=[vision.RandomResizedCrop(20)], batch_tfms=[*vision.aug_transforms(), Chosen('a', 'b')])
    expected = [key(learner(files, **tfms), views) for views in (0, 2)]
    used = learner(files, **tfms)
    for _ in range(3): used.dls.one_batch(), used.dls.valid.one_batch()
    used.model.train()
    assert [key(used, views) for views in (0, 2, 0)] == [*expected, expected[0]]
    os.utime(files[0], (1, 1))
    assert key(used) == expected[0] and None not in expected


@pytest.mark.slow
def test_another_process_finds_the_same_key(files):
    code = 'import sys, json; from pathlib import Path; from test_features import *; files = [Path(f) for f in json.loads(sys.argv[1])]; ' \
           "print(key(learner(files, batch_tfms=[Chosen('a', 'b', 'c'), scaled(2), by_helper, *vision.aug_transforms()]), 2))"
    keys = {subprocess.run([sys.executable, '-W', 'ignore', '-c', code, json.dumps(list(map(str, files)))],
                           capture_output=True, text=True, check=True, cwd=os.path.dirname(__file__),
                           env={**os.environ, 'PYTHONHASHSEED': seed, 'OMP_NUM_THREADS': '1'}).stdout for seed in ('0', '1')}
    assert len(keys) == 1 and len(keys.pop().strip()) == 32


@pytest.mark.parametrize('views', [0, 2])
def test_opened_ahead_they_are_those_of_a_plain_loop(files, views, tmp_path, monkeypatch):
    "Pictures in their order, and random views as they are drawn in one thread"
    from fastbook_notes.models.features import SEED, body_features
    learn = learner(files, item_tfms=[vision.RandomResizedCrop(20)], batch_tfms=vision.aug_transforms())
    found, frozen = body_features(learn, 0, views), torch.nn.Sequential(learn.model[0], *learn.model[1][:2]).eval()
    with learn.dls.train.dataset.set_split_idx(0 if views else 1), vision.no_random(SEED, reproducible=False), torch.no_grad():
        dl = learn.dls.train.new(shuffle=False, drop_last=False)
        plain = torch.stack([torch.cat([frozen(x) for x, _ in dl]) for _ in range(max(views, 1))])
    assert found.shape == plain.shape and torch.allclose(found, plain, atol=1e-5)


def test_a_picture_that_can_not_be_opened_is_named_as_without_threads(files):
    from fastbook_notes.models.features import body_features
    learn = learner(files, block=picture_block)
    files[5].write_bytes(b'no picture')
    with pytest.raises(Exception, match=files[5].name): body_features(learn)
