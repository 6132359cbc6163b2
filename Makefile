# Everything a person can do here. `make` lists it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Threads of PyTorch that wait for each other sleep, and leave their core to other programs.
export OMP_WAIT_POLICY ?= PASSIVE
BROWSER := .venv/.browser
SITE := .venv/.website
# `make run TORCH=cpu`, in a new clone, installs PyTorch without CUDA.
TORCH ?=
# What installs: uv where it is, unless pip has been told where to install from, which uv wouldn't know; `make UV=` never asks uv.
UV ?= $(eval UV := $(shell $(PYTHON) -m pip config list 2>/dev/null | grep -qE $(PLACES) || command -v uv))$(UV)
PLACES = 'index|find-links|constraint|cert|proxy|trusted'
INSTALL = $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/pip install --quiet --disable-pip-version-check)
# Of all that is needed, PyTorch's own index has only these two in a build for the CPU, so they come from there first, and alone.
FROM_PYTORCH = $(shell sed -nE "s/^ *(torch(vision)?>=[0-9.]+)$$/'\1'/p" settings.ini)
# JupyterLab asks no other host for news, for a newer version of itself, or for extensions.
ALONE = --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate --LabApp.extension_manager=readonly
# The chapters are run once, by tests/test_run.py, as a person runs them.
CHAPTERS = '^[_.]|^0[1-6]_'
# Two notebooks, or two files of tests, are tested at a time, with half of the processors each.
THREADS = $(shell $(PYTHON) -c 'import os; print(max(1, (os.cpu_count() or 2)//2))')

ifneq ($(filter-out cpu,$(TORCH)),)
$(error TORCH=$(TORCH) is not known: say TORCH=cpu, or leave it out)
endif

.DEFAULT_GOAL := help
.PHONY: help run test test-quick lint lab app docs preview bench export outputs readme dist clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{ printf "make %-11s %s\n", $$1, $$2 }'

$(STAMP): settings.ini setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fastbook_notes needs Python 3.11 or newer, and $(PYTHON) is older: make PYTHON=python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(if $(TORCH),$(INSTALL) --index-url https://download.pytorch.org/whl/cpu $(FROM_PYTORCH))
	$(INSTALL) --editable '.[dev]'
	@touch $@

# Brings a Chromium for the tests, or says why not.
$(BROWSER): $(STAMP) tests/browser.py
	@$(BIN)/python tests/browser.py
	@touch $@

$(SITE): $(STAMP) website/requirements.txt
	$(INSTALL) --requirement website/requirements.txt
	@touch $@

run: $(STAMP) ## execute chapters 1 to 6 on the sample data, into _run/
	@$(BIN)/fastbook-notes run --out _run

test: $(BROWSER) $(SITE) ## run every test: the notebooks' own, then tests/
	@status=0; OMP_NUM_THREADS=$(THREADS) $(BIN)/nbdev-test --n-workers 2 --timing --skip-file-re $(CHAPTERS) || status=1; OMP_NUM_THREADS=$(THREADS) $(BIN)/pytest || status=1; exit $$status

test-quick: $(STAMP) ## run within a minute what needs no browser, starts nothing and trains nothing
	@OMP_NUM_THREADS=$(THREADS) $(BIN)/pytest -m 'not slow and not browser'

lint: $(STAMP) ## look for what ruff and mypy find
	@status=0; $(BIN)/ruff check || status=1; $(BIN)/mypy || status=1; exit $$status

lab: $(STAMP) ## open JupyterLab at chapter 1
	$(BIN)/jupyter lab $(ALONE) $(if $(filter 0,$(shell id -u)),--allow-root) nbs/01_intro.ipynb

app: $(STAMP) ## open the first app, cat or dog, in a browser
	@$(BIN)/fastbook-notes app cat_or_dog --open

docs: $(SITE) ## build the website into _docs/
	@$(BIN)/python website/build.py

preview: $(SITE) ## serve the website, and build it again on change
	@$(BIN)/python website/build.py --preview

# Against PyTorch as it is by itself, since whoever imports the package has that.
bench: $(STAMP) ## measure every claim of speed, for half an hour, into benchmarks/ and the README
	@unset OMP_WAIT_POLICY; for script in $$(grep -l '^if __name__' benchmarks/*.py | grep -v table.py); do $(BIN)/python $$script || exit 1; done
	@$(BIN)/python benchmarks/table.py
	@$(BIN)/python tools/store.py index

export: $(STAMP) ## write fastbook_notes/ from the notebooks
	$(BIN)/nbdev-export

outputs: $(STAMP) ## execute every notebook on the sample and store its outputs
	$(BIN)/python tools/store.py

readme: $(STAMP) ## write README.md from nbs/index.ipynb
	$(BIN)/python tools/store.py index

dist: $(STAMP) ## build the wheel and the sdist into dist/
	@npm ci --prefix website --no-progress || echo 'The wheel will lack the engine for browsers, which `fastbook-notes publish` needs: npm is not here, or could not fetch it.' >&2
	$(BIN)/python -m build --outdir dist

clean: ## remove what can be made again, but not .venv
	rm -rf _run _docs _proc dist build *.egg-info .pytest_cache
