"Breeds and scenes: how long until the same validation figure is reached, by `fit_frozen` and by fastai's `fine_tune` on the same body."
import time

from measure import options, own_cache, ratio_row, record, silent


def main():
    given = options()
    from fastai.vision.all import Callback, set_seed

    from fastbook_notes.data.datasets import describe_dataset, get_dataset
    from fastbook_notes.errors import NotesError
    from fastbook_notes.models.features import fit_frozen
    from fastbook_notes.multicat import multicat_dataloaders, multicat_learner
    from fastbook_notes.pet_breeds import breed_learner, pet_dataloaders
    size = 64 if given.quick else 128

    class Curve(Callback):
        "Seconds since the start and the last metric, after each epoch"
        order = 60
        def __init__(self, start): self.start, self.points = start, []
        def after_epoch(self): self.points.append((time.perf_counter() - self.start, float(self.recorder.values[-1][-1])))

    def curve(make, train, sign):
        "Points of seconds and figure, the lower the better, from the start on"
        set_seed(42)
        start = time.perf_counter()
        learn = make()
        watch = Curve(start)
        learn.add_cb(watch)
        with own_cache(), silent(learn): train(learn)
        return [(seconds, sign*figure) for seconds, figure in watch.points]

    def there(name):
        "A data set, or None if the folder that was given holds another"
        try: return get_dataset(name, given.data)
        except NotesError as e: print(e)

    pets, scenes = map(there, ('PETS', 'PASCAL_2007'))
    limit, tune, ours = (120, 1, 2) if given.quick else (None, 5, 15)
    def breeds(): return breed_learner(pet_dataloaders(pets, size=size, limit=limit))
    def labels(): return multicat_learner(multicat_dataloaders(scenes, size=size))
    cases = {f'breeds, {describe_dataset(pets)}, error rate': (breeds, 1)} if pets else {}
    if scenes: cases[f'scenes, {describe_dataset(scenes)}, mean average precision'] = (labels, -1)
    rows = []
    for name, (make, sign) in cases.items():
        curve(make, lambda learn: fit_frozen(learn, 1), sign)
        pairs = []
        for _ in range(given.rounds or (1 if given.quick else 3)):
            curves = curve(make, lambda learn: fit_frozen(learn, ours), sign), curve(make, lambda learn: learn.fine_tune(tune), sign)
            figure = max(points[-1][1] for points in curves)
            pairs.append([next(seconds for seconds, reached in points if reached <= figure) for points in curves])
        rows.append(ratio_row(f'{name}, until both have {abs(figure):.3f}', 'fine_tune of the same body', *zip(*pairs), at_least=5,
                              last=dict(ours=abs(curves[0][-1][1]), theirs=abs(curves[1][-1][1]))))
    record(__file__, rows, given)


if __name__ == '__main__': main()
