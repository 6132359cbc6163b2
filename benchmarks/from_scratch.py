"""Epochs of the linear model by hand, with their validation, against the same model in the notes' loop and in fastai's Learner,
and against the batches and matrix products alone."""
from functools import partial

from measure import options, ratio_row, record, silent, take_turns


def main():
    given = options()
    from fastbook_notes.quiet_imports import import_quietly
    for name in ('fastai.basics', 'fastai.callback.progress'): import_quietly(name)
    import torch
    from fastai.basics import SGD, DataLoader, DataLoaders, Learner

    from fastbook_notes.data.datasets import get_dataset
    from fastbook_notes.mnist_basics import (
        HandLearner,
        LinearModel,
        SimpleLearner,
        batch_accuracy,
        digit_dataloaders,
        mnist_datasets,
        mnist_loss,
    )
    torch.manual_seed(0)
    train, valid = mnist_datasets(get_dataset('MNIST_SAMPLE', given.data))
    if given.quick: train, valid = (torch.utils.data.TensorDataset(*(t[::10] for t in part.tensors)) for part in (train, valid))
    ours = digit_dataloaders(train, valid)
    pairs = DataLoaders(DataLoader(list(train), bs=256, shuffle=True), DataLoader(list(valid), bs=256))
    by_hand, loop, autograd = (kind(dls, LinearModel(28*28, 1)) for kind, dls in ((HandLearner, ours), (SimpleLearner, pairs),
                                                                                 (SimpleLearner, ours)))
    theirs = Learner(pairs, torch.nn.Linear(28*28, 1), loss_func=mnist_loss, opt_func=SGD, metrics=batch_accuracy)
    weights = torch.randn(28*28, 1)

    def products(loaders):
        "What can't be done without: activations and gradients in training, activations in validation"
        for _ in range(epochs):
            for x, _ in loaders[0]: x.T @ (x @ weights)
            for x, _ in loaders[1]: x @ weights

    epochs = 2 if given.quick else 20
    sides = {name: partial(learner.train_model, epochs, 0.1) for name, learner in dict(hand=by_hand, loop=loop, autograd=autograd).items()}
    sides |= dict(learner=partial(theirs.fit, epochs, 0.1), products=partial(products, ours.loaders))
    with silent(theirs): took = take_turns(sides, given.rounds or (2 if given.quick else 15))
    claim = f'linear model by hand (`HandLearner`), {epochs} epochs with validation'
    gain = "train chapter 4's linear model, its gradient by hand"
    record(__file__, [ratio_row(claim, "the notes' loop: `SimpleLearner` over fastai's DataLoader on a list of pairs", took['hand'],
                                took['loop'], at_least=6),
                      ratio_row(claim, "fastai's Learner, its DataLoader on a list of pairs", took['hand'],
                                took['learner'], at_least=15, gain=gain),
                      ratio_row(claim, '`SimpleLearner`, that is autograd, on the same batches', took['hand'], took['autograd']),
                      ratio_row(claim, 'its shuffled batches and matrix products alone', took['hand'], took['products'], at_most=1.7)],
           given)


if __name__ == '__main__': main()
