"What pays on a CPU and what doesn't: each setting against the same work without it, on the frozen lite0 body and on reading pictures."
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import deepcopy
from functools import partial

from measure import busy, options, ratio_row, record, take_turns

PAYS = 1.05
STEPS = '''
import sys, time, timm, torch
size, model = int(sys.argv[1]), timm.create_model('tf_efficientnet_lite0', num_classes=2)
x = torch.randn(8, 3, size, size)
for start in (0, time.perf_counter()):
    for _ in range(3): model(x).sum().backward()
print(time.perf_counter() - start)
'''


def training_steps(size, **settings):
    "Seconds that a few steps take in a process with these variables"
    environ = {name: value for name, value in os.environ.items() if name not in ('OMP_WAIT_POLICY', 'OMP_NUM_THREADS')} | settings
    done = subprocess.run([sys.executable, '-c', STEPS, str(size)], env=environ, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main():
    given = options()
    import numpy as np
    import torch
    from fastai.vision.all import ImageDataLoaders, PILImage, Resize, image2tensor
    from PIL import Image

    from fastbook_notes.models.backbones import imagenet_lite0
    from fastbook_notes.models.engine import _merge_norms, fuse_for_inference
    size, n = (64, 8) if given.quick else (224, 64)
    rounds = given.rounds or (1 if given.quick else 7)
    torch.manual_seed(0)
    whole = imagenet_lite0()
    whole.classifier = torch.nn.Identity()
    pictures, rows = torch.randn(n, 3, size, size), []

    def look(model, at_once, pictures=pictures):
        with torch.no_grad():
            for few in pictures.split(at_once): model(few)

    def compare(setting, ours, theirs, against, **more):
        took = take_turns(dict(ours=ours, theirs=theirs), rounds)
        row = ratio_row(setting, against, took['ours'], took['theirs'], **more)
        rows.append(row | dict(pays=row['lowest'] >= 1 and row['ratio'] >= PAYS))

    last = torch.channels_last
    plain, lasting = whole, deepcopy(whole).to(memory_format=last)
    merged = _merge_norms(deepcopy(whole))
    fused = fuse_for_inference(whole, pictures[:2])
    compare('channels_last', partial(look, lasting, 32, pictures.to(memory_format=last)), partial(look, plain, 32), 'channels first')
    compare('normalisation merged into convolutions', partial(look, merged, 32), partial(look, plain, 32), 'layers of their own')
    compare('both', partial(look, fused, 32), partial(look, plain, 32), 'neither')
    for at_once in (1, 4, 8, 16):
        compare(f'{at_once} pictures at once, fused', partial(look, fused, at_once), partial(look, fused, 32), '32 at once')

    rng = np.random.default_rng(0)
    def jpeg(width, height):
        "A smooth picture with some noise, as a camera's"
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype='uint8')).resize((width, height), Image.Resampling.BICUBIC)
        noisy = (np.asarray(small) + rng.normal(0, 6, (height, width, 3))).clip(0, 255).astype('uint8')
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, 'JPEG', quality=90)
        return file.getvalue()

    def read(data, draft):
        image = Image.open(io.BytesIO(data))
        if draft: image.draft('RGB', (2*size, 2*size))
        return image2tensor(Resize(size)(PILImage.create(image.convert('RGB')), split_idx=1))

    scale = 4 if given.quick else 1
    for width, height in ((500, 375), (4000, 3000)):
        some = [jpeg(width//scale, height//scale) for _ in range(2 if given.quick else 8)]
        compare(f'JPEG of {width//scale} x {height//scale} decoded at a reduced scale',
                *(lambda some=some, draft=draft: [read(data, draft) for data in some] for draft in (True, False)), 'decoded in full',
                differs=round(float((read(some[0], True).float() - read(some[0], False).float()).abs().mean()), 2))

    some = [jpeg(500, 375) for _ in range(8 if given.quick else 64)]
    def threads(count):
        with ThreadPoolExecutor(count) as pool: list(pool.map(lambda data: read(data, False), some))
    def one_thread(): [read(data, False) for data in some]
    for count in (1, 2):
        compare(f'pictures read in {count} thread{"s"*(count > 1)}', partial(threads, count), one_thread, 'in the main thread')

    import tempfile
    from pathlib import Path
    with tempfile.TemporaryDirectory() as folder:
        for i, data in enumerate(some): (Path(folder)/f'{i%2}_{i}.jpg').write_bytes(data)
        def loader(workers): return ImageDataLoaders.from_name_func(folder, sorted(Path(folder).glob('*')),
                                                                    label_func=lambda name: name[0],
                                                                    item_tfms=Resize(size), bs=8, num_workers=workers, device='cpu')
        def a_pass(dls):
            with torch.no_grad():
                for x, _ in dls.train: fused(x)
        for workers in (1, 2):
            compare(f'{workers} worker process{"es"*(workers > 1)}', partial(a_pass, loader(workers)),
                    partial(a_pass, loader(0)), 'none, body included')
    for when, around in (('quiet', nullcontext()), ('busy', busy())):
        with around: pairs = [(training_steps(size, OMP_WAIT_POLICY='PASSIVE'), training_steps(size)) for _ in range(min(rounds, 3))]
        row = ratio_row(f'threads that sleep while they wait (`OMP_WAIT_POLICY`), in training, {when}', 'threads that spin', *zip(*pairs))
        rows.append(row | dict(pays=row['lowest'] >= 1 and row['ratio'] >= PAYS))
    record(__file__, rows, given)


if __name__ == '__main__': main()
