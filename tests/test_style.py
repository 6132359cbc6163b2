"ruff finds nothing, in the notebooks as in what is written by hand. `make lint` asks mypy as well."
import re
import subprocess
import sys

from conftest import ROOT


def findings(folder, *words):
    return subprocess.run([sys.executable, '-m', 'ruff', 'check', '--no-cache', '--output-format', 'concise', *words], cwd=folder,
                          capture_output=True, text=True, encoding='utf-8')


def test_ruff_finds_nothing():
    done = findings(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_wrong_is_found(tmp_path):
    "Also in a notebook, with the project's settings"
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook
    cell = new_code_cell(f"import os\nimport ast\nx = '{'long '*30}'\nif x: ast.parse(x)")
    nbformat.write(new_notebook(cells=[cell]), tmp_path/'one.ipynb')
    done = findings(tmp_path, '--config', str(ROOT/'pyproject.toml'))
    assert set(re.findall(r'one\.ipynb:cell 1:[\d:]+ (\w+)', done.stdout)) == {'E501', 'F401', 'I001'}
