"Cats and dogs, from the files to a model: features once, against the book's recipe, fine-tuning of the body, a bare pass, a second run."
from functools import partial

from measure import options, own_cache, ratio_row, record, silent, take_turns


def main():
    given = options()
    import torch
    from fastai.vision.all import set_seed

    from fastbook_notes.data.datasets import describe_dataset, get_dataset
    from fastbook_notes.intro import cat_dataloaders, cat_learner
    from fastbook_notes.models.features import fit_frozen
    path = get_dataset('PETS', given.data)
    size, limit, epochs = (64, 60, 2) if given.quick else (224, 600, 3)
    errors = {}

    def trained(name, train, limit=limit, **learner):
        "Train from the files on, and note the error"
        set_seed(42)
        learn = cat_learner(cat_dataloaders(path/'images', size=size, limit=limit), **learner)
        with silent(learn):
            train(learn)
            errors[name] = float(learn.recorder.values[-1][-1])

    def once(limit=limit):
        with own_cache(): trained('ours', lambda learn: fit_frozen(learn, epochs), limit)

    def a_pass(limit=limit):
        dls = cat_dataloaders(path/'images', size=size, limit=limit)
        model = cat_learner(dls).model.eval()
        with torch.no_grad():
            for loader in dls.loaders:
                for pictures, _ in loader.new(shuffle=False, drop_last=False): model(pictures)

    recipe = dict(book=partial(trained, 'book', lambda learn: learn.fine_tune(1), arch='resnet34', pretrained=False),
                  lite0=partial(trained, 'lite0', lambda learn: learn.fine_tune(1)))
    sides = dict(ours=once, bare=a_pass, **recipe)
    rounds = given.rounds or (1 if given.quick else 3)
    took = take_turns(sides, dict(ours=rounds, bare=rounds, lite0=rounds, book=1),
                      {name: partial(run, limit=60) for name, run in sides.items()})
    with own_cache():
        trained('again', lambda learn: fit_frozen(learn, epochs))
        again = take_turns(dict(again=lambda: trained('again', lambda learn: fit_frozen(learn, epochs))), rounds, {})['again']
    n = min(limit, len(list((path/'images').iterdir())))
    claim = f'cat or dog at {size} px, {epochs} epochs of the head, {n} pictures of {describe_dataset(path)}, from the files to the model'
    errors = dict(errors={name: round(error, 4) for name, error in errors.items()})
    photos = 'train a model on your photos'
    record(__file__, [ratio_row(claim, "the book's recipe: resnet34 (untrained), `fine_tune(1)`", took['ours'],
                                took['book'], at_least=18, gain=photos, **errors),
                      ratio_row(claim, 'lite0, `fine_tune(1)`', took['ours'], took['lite0'], at_least=14, gain=photos, **errors),
                      ratio_row(claim, 'one bare pass of the model over the pictures', took['ours'], took['bare'], at_most=1.3),
                      ratio_row(f'{claim}, features on disk', 'the first run', again, took['ours'], at_least=10,
                                gain='train it again')], given)


if __name__ == '__main__': main()
