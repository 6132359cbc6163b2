"The frozen lite0 body at 224 px: the engine's forms against plain PyTorch, quiet and beside a process that spins; what an export costs."
from functools import partial

from measure import busy, options, ratio_row, record, take_turns


def main():
    given = options()
    import torch

    from fastbook_notes.models.backbones import imagenet_lite0
    from fastbook_notes.models.engine import _export, fuse_for_inference, onnx_form, split_for_cache
    size, n = (64, 8) if given.quick else (224, 48)
    rounds = given.rounds or (1 if given.quick else 5)
    torch.manual_seed(0)
    plain = imagenet_lite0()
    plain.classifier = torch.nn.Identity()
    pictures = torch.randn(n, 3, size, size)
    forms = dict(onnxruntime=onnx_form(plain, pictures), fused=fuse_for_inference(plain, pictures[:2]))

    def look(form, parts):
        with torch.no_grad():
            for few in parts: form(few)

    sides = dict(plain=partial(look, plain, pictures.split(32))) | {name: partial(look, form,
        split_for_cache(pictures)) for name, form in forms.items()}
    with torch.no_grad(): gap = max((form(pictures[:4]) - plain(pictures[:4])).abs().max().item() for form in forms.values())
    quiet = take_turns(sides, rounds)
    with busy(): beside = take_turns(sides, rounds)
    claim = f'{n} pictures of {size} px through the frozen body'
    rows = [ratio_row(f'{claim}, {when}', f'plain PyTorch, {when}', took['onnxruntime'], took['plain'], at_least=target, gap=round(gap, 7),
                      gain='features of pictures, ' + ('with no other program' if when == 'quiet' else 'beside a program that computes'))
            for when, took, target in (('quiet', quiet, 6), ('busy', beside, 10))]
    rows += [ratio_row(f'{claim}, {when}', f'the fused form, {when}', took['onnxruntime'], took['fused']) for when,
             took in (('quiet', quiet), ('busy', beside))]
    rows += [ratio_row(f'{claim}, busy', 'quiet', beside['onnxruntime'], quiet['onnxruntime'], at_most=2)]
    export = take_turns(dict(export=lambda: _export(plain, pictures[:2])), min(rounds, 3))['export']
    rows += [ratio_row('an export', f'{n} pictures through the fused form, quiet', export, quiet['fused'], unit='s')]
    record(__file__, rows, given)


if __name__ == '__main__': main()
