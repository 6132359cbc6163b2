"""Labelling a folder of pictures: `predict_folder` against `learn.predict` in a loop and `get_preds` on a test loader, and beside a
process that spins."""
import os
import tempfile
from pathlib import Path
from statistics import median

from measure import busy, options, ratio_row, record, silent, take_turns


def fill(folder, pictures, n):
    "A folder with n names for these pictures"
    folder.mkdir()
    for i in range(n): os.link(pictures[i % len(pictures)], folder/f'{i:06}{pictures[i % len(pictures)].suffix}')
    return folder


def prepared(given, scratch, size):
    "Pictures of cats and dogs on the same disk, a learner for them, and its model's folder"
    import shutil

    from fastbook_notes.data.datasets import get_dataset
    from fastbook_notes.intro import cat_dataloaders, cat_learner
    from fastbook_notes.models.model_folder import save_model
    pictures = scratch/'pictures'
    pictures.mkdir()
    for file in sorted((get_dataset('PETS', given.data)/'images').glob('*.jpg'))[:600]: shutil.copy(file, pictures)
    learn = cat_learner(cat_dataloaders(pictures, size=size))
    save_model(learn, scratch/'model')
    return sorted(pictures.iterdir()), learn


def main():
    given = options()
    from fastbook_notes.models.predict_folder import predict_folder
    n, few, some, size = (60, 10, 20, 64) if given.quick else (2000, 100, 599, 160)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        pictures, learn = prepared(given, scratch, size)
        folder, smaller = fill(scratch/'folder', pictures, n), fill(scratch/'smaller', pictures, some)
        files, runs = sorted(folder.iterdir()), iter(range(10**6))

        def ours(folder=folder): predict_folder(scratch/'model', folder, scratch/f'{next(runs)}.csv', report=str)
        def one_by_one():
            for file in files[:few]: learn.predict(file)
        def test_loader(): learn.get_preds(dl=learn.dls.test_dl(files, bs=64))

        sides = dict(ours=ours, one_by_one=one_by_one, test_loader=test_loader)
        rounds = given.rounds or (1 if given.quick else 3)
        with silent(learn): took = take_turns(sides, rounds)
        alone = dict(ours=lambda: ours(smaller))
        quiet = take_turns(alone, rounds)['ours']
        with busy(): beside = take_turns(alone, rounds)['ours']
    claim = f'label {n} pictures at {size} px'
    loop = [s*n/few for s in took['one_by_one']]
    record(__file__, [ratio_row(claim, f'`learn.predict` in a loop (measured on {few})', took['ours'], loop, at_least=10,
                                gain='label a folder of pictures'),
                      ratio_row(claim, '`get_preds` on a test loader', took['ours'], took['test_loader'], at_least=1),
                      ratio_row(f'label {some} pictures at {size} px', 'a rate of 180 pictures a second', quiet, some/180, at_least=1,
                                pictures_a_second=round(some/median(quiet))),
                      ratio_row(f'label {some} pictures at {size} px, busy', 'quiet', beside, quiet, at_most=2)], given)


if __name__ == '__main__': main()
