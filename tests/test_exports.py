"What a saved model is turned into, and what is turned into one: a learner that goes on, ONNX, and exports that somebody trusts."
import ast
import sys

import pytest
import torch

from conftest import ROOT
from fastbook_notes.errors import NotesError
from fastbook_notes.models import exports
from fastbook_notes.models.exports import _convert_here, convert_export, learner_from, save_onnx
from fastbook_notes.models.model_folder import CARD_FILE, DESCRIPTION_FILE, MODEL_FILE, ONNX_FILE, load_model, save_model
from fastbook_notes.quiet_imports import import_quietly
from small_models import SIZES, SMALL, cat_model, model, pets, picture, small_learner, vision  # noqa: F401 -- fixtures


def test_going_on_training(model, small_learner, vision, pets, tmp_path):
    from fastbook_notes.intro import cat_dataloaders
    learn = learner_from(model, cat_dataloaders(pets, size=32, bs=8), metrics=vision.error_rate)
    with learn.no_bar(), learn.no_logging(), small_learner.no_bar():
        assert learn.validate()[0] == pytest.approx(small_learner.validate()[0], abs=1e-5)
        before = {name: value.clone() for name, value in learn.model.state_dict().items()}
        learn.fit_one_cycle(1, 1e-3)
    changed = [name for name, value in learn.model.named_parameters() if not torch.equal(value, before[name])]
    assert {name[0] for name in changed} == {'0', '1'} and len(changed) > 0.8*len(list(learn.model.parameters()))
    again = load_model(save_model(learn, tmp_path/'again'))
    file = next(pets.iterdir())
    with learn.no_bar(), learn.no_logging(): assert torch.allclose(again.predict(file).probabilities, learn.predict(file)[2], atol=1e-4)
    assert set(again.metrics) == {'valid_loss', 'error_rate'}


# A pickle that somebody trusts

def named_by_hand(name): return name[0].isupper()


def test_a_trusted_export_is_converted_in_its_own_process(vision, pets, tmp_path, capsys):
    "Also when its label function is gone: the other process doesn't know this file"
    files = sorted(pets.iterdir())
    dls = vision.ImageDataLoaders.from_name_func(pets, files, label_func=named_by_hand, valid_pct=0.2, seed=42, bs=8, num_workers=0,
                                                 item_tfms=vision.Resize(32))
    learn = vision.vision_learner(dls, SMALL, pretrained=False, lin_ftrs=[16], metrics=vision.error_rate)
    learn.path = tmp_path
    learn.export('export.pkl')
    with learn.no_bar(), learn.no_logging(): expected = learn.predict(files[0])[2]
    assert b'named_by_hand' in (tmp_path/'export.pkl').read_bytes() or b'test_exports' in (tmp_path/'export.pkl').read_bytes()
    before = set(sys.modules)
    predictor = load_model(convert_export(tmp_path/'export.pkl', tmp_path/'converted', trusted=True, data='Pets', licence='CC0-1.0'))
    assert set(sys.modules) == before and predictor.vocab == [False, True]
    assert (predictor.description.data.name, predictor.description.data.licence) == ('Pets', 'CC0-1.0')
    assert torch.allclose(predictor.predict(files[0]).probabilities, expected, atol=1e-4)
    (tmp_path/'broken.pkl').write_bytes((tmp_path/'export.pkl').read_bytes()[:-2000])
    assert _convert_here(str(tmp_path/'broken.pkl'), str(tmp_path/'no'), '', '') == 2
    message = capsys.readouterr().err
    assert "broken.pkl can't be converted" in message and len(message.strip().splitlines()) == 1 and not (tmp_path/'no').exists()


# No pickle anywhere

PICKLING = {'pickle', '_pickle', 'cPickle', 'cloudpickle', 'dill', 'joblib', 'shelve', 'marshal', 'jsonpickle'}
UNPICKLERS = {'load_learner', 'read_pickle', 'Unpickler', 'untar_model', 'eval', 'exec'}


def unpickling(source):
    "Lines of a module that could unpickle, or run text, outside of the one function that is there for it"
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    allowed = {id(node) for function in functions if function.name in ('_convert_here', '_lenient_pickle') for node in ast.walk(function)}
    for node in ast.walk(tree):
        if id(node) in allowed: continue
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if isinstance(node, ast.ImportFrom) and ast.unparse(node) == 'from joblib import cpu_count': continue # It counts, and no more
        if isinstance(node, ast.ImportFrom) and node.module: names += [node.module]
        if any(name.partition('.')[0] in PICKLING or name.rpartition('.')[2] in UNPICKLERS for name in names): yield node.lineno
        if not isinstance(node, ast.Call): continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')
        options = {keyword.arg: getattr(keyword.value, 'value', None) for keyword in node.keywords}
        if isinstance(node.func, ast.Name) and name in UNPICKLERS or name in UNPICKLERS - {'eval', 'exec'}: yield node.lineno
        loads = ast.unparse(node.func) in ('torch.load', 'torch.jit.load', 'torch.hub.load')
        if loads and options.get('weights_only') is not True: yield node.lineno
        if options.get('allow_pickle') or 'pickle_module' in options or options.get('weights_only') is False: yield node.lineno


@pytest.mark.parametrize('module', sorted(path for path in (ROOT/'fastbook_notes').rglob('*.py') if path.stem != '_modidx'),
                         ids=lambda path: path.stem)
def test_the_package_never_unpickles(module):
    source = module.read_text(encoding='utf-8')
    assert list(unpickling(source)) == []
    assert module.stem == 'exports' or '_convert_here' not in source and '_lenient_pickle' not in source


@pytest.mark.parametrize('source', ['import pickle', 'from pickle import loads', 'import joblib', 'torch.load(f)',
                                    'torch.load(f, weights_only=False)', 'np.load(f, allow_pickle=True)', 'pd.read_pickle(f)',
                                    'load_learner(f)',
                                    'from fastai.learner import load_learner', 'learner.load_learner(f)', 'eval(text)',
                                    'torch.hub.load(repo)', 'def convert():\n    import pickle'])
def test_what_would_unpickle_is_found(source):
    assert list(unpickling(source))


def test_only_a_process_of_its_own_converts():
    "The function that unpickles is named once, in the code for that process"
    source = (ROOT/'fastbook_notes'/'models'/'exports.py').read_text(encoding='utf-8')
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == '_convert_here']
    assert calls == [] and source.count('_convert_here') == 3


# ONNX

def test_onnx_says_the_same(vision, pets, tmp_path, record_property):
    vision.set_seed(0)
    folder = save_model(cat_model(vision, pets, tmp_path), tmp_path/'model')
    predictor, session = load_model(folder), import_quietly('onnxruntime').InferenceSession(save_onnx(folder),
        providers=['CPUExecutionProvider'])
    pictures, most = [picture(*size, seed=5) for size in SIZES], 0
    for some in (pictures, pictures[:1]):
        pixels = predictor.scaled(torch.stack([predictor.prepare(one) for one in some]))
        theirs, = session.run(None, {'pixels': pixels.numpy()})
        expected = predictor.predict(some).probabilities
        most = max(most, (torch.from_numpy(theirs) - expected).abs().max().item())
        assert len(some) == 1 or expected.std(0).min() > 0.01
    record_property('figure', f'ONNX: probabilities within {most:.1g} of the model folder\'s')
    assert most <= 1e-3 and load_model(folder)
    assert sorted(p.name for p in folder.iterdir()) == sorted([CARD_FILE, DESCRIPTION_FILE, MODEL_FILE, ONNX_FILE])


def test_what_onnx_needs_is_named(model, monkeypatch):
    monkeypatch.setattr(exports, 'find_spec', lambda name: None)
    with pytest.raises(NotesError, match=r'needs onnxscript; run `pip install onnxscript`'): save_onnx(model)
