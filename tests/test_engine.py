"The engine answers what PyTorch answers, on every chapter's kind of body, and PyTorch goes on where it can't."
import os
import subprocess
import sys
import time

import pytest
import timm
import torch

from fastbook_notes.models import engine as rooms
from fastbook_notes.models.engine import ENOUGH, Engine, fuse_for_inference, onnx_form, split_at_head, usable_cores


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    "Graphs of the test's own"
    monkeypatch.setenv('FASTBOOK_NOTES_CACHE', str(tmp_path/'cache'))
    return tmp_path/'cache'


def body(name):
    "A body with statistics that are not those of a new one"
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d): module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize('name, size',
                         [('tf_efficientnet_lite0', 64), ('resnet18', 64), ('mobilenetv3_small_050', 61),
                          ('convnext_atto', 64), ('vit_tiny_patch16_224', 224)])
def test_all_forms_answer_alike(name, size, record_property):
    frozen, pictures = body(name), torch.randn(5, 3, size, size)
    with torch.no_grad(): expected = frozen(pictures)
    said, gaps = [], {}
    engine = Engine(frozen, ENOUGH, said.append)
    for what, form in {'onnxruntime': engine, 'fused': fuse_for_inference(frozen, pictures)}.items():
        with torch.no_grad(): gaps[what] = (form(pictures) - expected).abs().max().item()/max(1, expected.abs().max().item())
    record_property('figure', f'{name}: ' + ', '.join(f'{what} within {gap:.1g} of PyTorch' for what, gap in gaps.items()))
    assert said == [] and list(engine.graphs.values()) != [None] and max(gaps.values()) <= 1e-4


def test_any_number_and_two_sizes():
    frozen = body('mobilenetv3_small_050')
    engine = Engine(frozen, ENOUGH)
    for n, size in ((1, 64), (7, 64), (2, 96), (40, 64)):
        pictures = torch.randn(n, 3, size, size)
        with torch.no_grad(): assert torch.allclose(engine(pictures), frozen(pictures), atol=1e-4)
    assert len(engine.graphs) == 2


@pytest.mark.parametrize('expected', [0, 10, ENOUGH])
def test_a_plain_tensor_comes_out_whatever_computes_it(expected):
    "A data loader's tensors say what they hold, and pass that on to all that is computed of them"
    from fastai.vision.all import TensorImage
    assert type(Engine(body('mobilenetv3_small_050'), expected)(TensorImage(torch.randn(2, 3, 64, 64)))) is torch.Tensor


def test_after_training_another_engine_answers_otherwise(own_cache):
    "The kept graph is not that of the weights as they are now"
    frozen, pictures = body('mobilenetv3_small_050'), torch.randn(3, 3, 64, 64)
    before = Engine(frozen, ENOUGH)(pictures)
    with torch.no_grad(): next(frozen.parameters()).data.add_(0.05)
    after = Engine(frozen, ENOUGH)(pictures)
    with torch.no_grad(): assert torch.allclose(after, frozen(pictures), atol=1e-4) and not torch.allclose(after, before, atol=1e-4)
    assert len(list(own_cache.rglob('*.onnx'))) == 2


def test_an_export_leaves_the_network_as_it_was():
    frozen = split_at_head(torch.nn.Sequential(body('mobilenetv3_small_050'),
                                               torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(576, 2))).eval())[0]
    before, threads = {name: value.clone() for name, value in frozen.state_dict().items()}, torch.get_num_threads()
    onnx_form(frozen, torch.randn(2, 3, 64, 64))
    assert not any(module.training for module in frozen.modules()) and torch.get_num_threads() == threads
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())


def test_only_so_many_graphs_are_kept(own_cache, monkeypatch):
    monkeypatch.setattr('fastbook_notes.models.graphs.MOST_GRAPHS', 2)
    for seed in range(4):
        torch.manual_seed(seed)
        onnx_form(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten()).eval(), torch.randn(2, 3, 8, 8))
        time.sleep(0.02)
    assert len(list(own_cache.rglob('*.onnx'))) == 2


def test_a_cache_that_can_not_be_written_to_costs_no_answer(own_cache, capsys):
    own_cache.write_text('a file')
    frozen, pictures = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten()).eval(), torch.randn(2, 3, 8, 8)
    form = onnx_form(frozen, pictures)
    with torch.no_grad(): assert torch.allclose(form(pictures), frozen(pictures), atol=1e-5)


def test_what_has_a_hook_is_computed_and_not_kept(own_cache):
    frozen, pictures = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten()).eval(), torch.randn(2, 3, 8, 8)
    frozen[0].register_forward_hook(lambda module, args, result: result*2)
    with torch.no_grad(): assert torch.allclose(Engine(frozen, ENOUGH)(pictures), frozen(pictures), atol=1e-5)
    assert not list(own_cache.rglob('*.onnx'))


def test_other_numbers_than_float32_are_left_to_pytorch():
    frozen = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten()).double()
    engine = Engine(frozen, ENOUGH)
    assert engine(torch.randn(2, 3, 8, 8, dtype=torch.float64)).shape == (2, 72) and engine.graphs == {}


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='only Linux can give a process fewer cores')
def test_as_many_threads_as_cores_may_be_used():
    code = ('import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n'
            'from fastbook_notes.models.engine import usable_cores; print(usable_cores())')
    environ = {name: value for name, value in os.environ.items() if name != 'OMP_NUM_THREADS'}
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environ).stdout.strip() == '1'
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))


def test_every_predictor_answers_by_the_engine_what_pytorch_answers(monkeypatch):
    "On the models of all three chapters, with the same activation maps; few pictures are left to PyTorch"
    import numpy as np
    from PIL import Image

    from fastbook_notes.models.model_folder import load_model
    from fastbook_notes.models.untrained import WORDS_MODELS, words_model
    monkeypatch.setattr(rooms, 'ENOUGH', 12)
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype='uint8')) for _ in range(12)]
    for folder in map(words_model, WORDS_MODELS):
        ours, theirs = load_model(folder), load_model(folder)
        theirs.parts.requires_grad_(True)
        assert torch.equal(ours.probabilities(pictures[:3]), theirs.probabilities(pictures[:3])) and ours.engine.graphs == {}
        assert torch.allclose(ours.probabilities(pictures), theirs.probabilities(pictures), atol=1e-4)
        assert torch.allclose(ours.activations(few := torch.stack([ours.prepare(p) for p in pictures])), theirs.activations(few),
                              atol=1e-4, rtol=1e-4)
        label = ours.vocab[0]
        assert np.allclose(ours.heatmap(pictures[0], label), theirs.heatmap(pictures[0], label), atol=1e-4)
        assert all(ours.engine.graphs.values()) and len(ours.engine.graphs) == 1 and theirs.engine.graphs == {}


def test_a_kept_graph_is_looked_for_once_and_not_for_a_few(own_cache, monkeypatch):
    frozen, pictures, looked = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten()).eval(), torch.randn(3, 3, 8, 8), []
    whole = rooms._graph_file
    monkeypatch.setattr(rooms, '_graph_file', lambda *args: looked.append(args) or whole(*args))
    engine = Engine(frozen)
    for _ in range(10): expected = engine(pictures)
    assert len(looked) == 1 and engine.graphs == {}
    Engine(frozen, ENOUGH)(pictures)
    looked.clear()
    again = Engine(frozen)
    for _ in range(2): again(pictures)
    assert looked == [] and again.graphs == {}
    for _ in range(8): assert torch.allclose(again(pictures), expected, atol=1e-5)
    assert list(map(bool, again.graphs.values())) == [True] and len(looked) == 2 # Once to see whether it is there, once to read it


@pytest.mark.parametrize('allowed', [1, 2])
def test_a_container_that_gives_fewer_cores_is_heeded(monkeypatch, allowed):
    "joblib reads the cgroup's limit, and PyTorch `OMP_NUM_THREADS`; a session has as many threads as the lower of both"
    from joblib.externals.loky.backend import context
    monkeypatch.setattr(context, '_cpu_count_cgroup', lambda of: allowed)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 64)
    assert usable_cores() == min(allowed, len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 1)
    assert usable_cores() == 1
