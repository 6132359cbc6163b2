# Everything a person can do here. `make` lists it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BROWSER := .venv/.browser
SITE := .venv/.website
# Two notebooks, or two files of tests, are tested at a time, with half of the processors each.
THREADS = $(shell $(PYTHON) -c 'import os; print(max(1, (os.cpu_count() or 2)//2))')

.DEFAULT_GOAL := help
.PHONY: help run test lab app docs preview bench export outputs readme dist clean

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1|\2/' | awk -F'|' '{ printf "make %-9s %s\n", $$1, $$2 }'

$(STAMP): settings.ini setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fastbook_notes needs Python 3.11 or newer, and $(PYTHON) is older: make PYTHON=python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Brings a Chromium for the tests, or says why not.
$(BROWSER): $(STAMP) tests/browser.py
	@$(BIN)/python tests/browser.py
	@touch $@

$(SITE): $(STAMP) website/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement website/requirements.txt
	@touch $@

run: $(STAMP) ## execute chapters 1 to 6 on the sample data, into _run/
	@$(BIN)/fastbook-notes run --out _run

test: $(BROWSER) $(SITE) ## run every test: the notebooks' own, then tests/
	@status=0; OMP_NUM_THREADS=$(THREADS) $(BIN)/nbdev-test --n-workers 2 --timing || status=1; OMP_NUM_THREADS=$(THREADS) $(BIN)/pytest || status=1; exit $$status

lab: $(STAMP) ## open JupyterLab at chapter 1
	$(BIN)/jupyter lab nbs/01_intro.ipynb

app: $(STAMP) ## open the first app, cat or dog, in a browser
	@$(BIN)/fastbook-notes app cat_or_dog --open

docs: $(SITE) ## build the website into _docs/
	@$(BIN)/python website/build.py

preview: $(SITE) ## serve the website, and build it again on change
	@$(BIN)/python website/build.py --preview

bench: $(STAMP) ## measure every claim of speed, for half an hour, into benchmarks/ and the README
	@for script in $$(grep -l '^if __name__' benchmarks/*.py | grep -v table.py); do $(BIN)/python $$script || exit 1; done
	@$(BIN)/python benchmarks/table.py
	@$(BIN)/fastbook-notes store index

export: $(STAMP) ## write fastbook_notes/ from the notebooks
	$(BIN)/nbdev-export

outputs: $(STAMP) ## execute every notebook on the sample and store its outputs
	$(BIN)/fastbook-notes store

readme: $(STAMP) ## write README.md from nbs/index.ipynb
	$(BIN)/fastbook-notes store index

dist: $(STAMP) ## build the wheel and the sdist into dist/
	$(BIN)/python -m build --outdir dist

clean: ## remove what can be made again, but not .venv
	rm -rf _run _docs _proc dist build *.egg-info .pytest_cache
