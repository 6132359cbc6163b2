"""An epoch of the linear model from scratch, with its validation, against the same loop on other batches, fastai's Learner,
and the matrix products alone."""
from functools import partial

from measure import options, ratio_row, record, silent, take_turns


def main():
    given = options()
    from fastbook_notes.quiet_imports import import_quietly
    for name in ('fastai.basics', 'fastai.callback.progress'): import_quietly(name)
    import torch
    from fastai.basics import SGD, DataLoader, DataLoaders, Learner

    from fastbook_notes.data.datasets import get_dataset
    from fastbook_notes.mnist_basics import LinearModel, SimpleLearner, batch_accuracy, digit_dataloaders, mnist_datasets, mnist_loss
    torch.manual_seed(0)
    train, valid = mnist_datasets(get_dataset('MNIST_SAMPLE', given.data))
    if given.quick: train, valid = (torch.utils.data.TensorDataset(*(t[::10] for t in part.tensors)) for part in (train, valid))
    ours = digit_dataloaders(train, valid)
    pairs = DataLoaders(DataLoader(list(train), bs=256, shuffle=True), DataLoader(list(valid), bs=256))
    simple = {name: SimpleLearner(dls, LinearModel(28*28, 1)) for name, dls in (('ours', ours), ('pairs', pairs))}
    theirs = Learner(pairs, torch.nn.Linear(28*28, 1), loss_func=mnist_loss, opt_func=SGD, metrics=batch_accuracy)
    weights = torch.randn(28*28, 1)

    def products(loaders):
        "What can't be done without: activations and gradients in training, activations in validation"
        for _ in range(epochs):
            for x, _ in loaders[0]: x.T @ (x @ weights)
            for x, _ in loaders[1]: x @ weights

    epochs, cut = 2 if given.quick else 20, [list(loader) for loader in ours.loaders]
    sides = dict(ours=partial(simple['ours'].train_model, epochs, 0.1), pairs=partial(simple['pairs'].train_model, epochs, 0.1),
                 learner=partial(theirs.fit, epochs, 0.1), products=partial(products, cut), batches=partial(products, ours.loaders))
    with silent(theirs): took = take_turns(sides, given.rounds or (2 if given.quick else 15))
    claim = f'linear model from scratch, {epochs} epochs with validation'
    pairs = "the same loop over fastai's DataLoader on a list of pairs"
    record(__file__, [ratio_row(claim, pairs, took['ours'], took['pairs'], at_least=4),
                      ratio_row(claim, "fastai's Learner on that", took['ours'], took['learner'], at_least=8),
                      ratio_row(claim, 'its matrix products alone', took['ours'], took['products'], at_most=2),
                      ratio_row(claim, 'its batches and matrix products alone', took['ours'], took['batches'], at_most=2)], given)


if __name__ == '__main__': main()
