# Everything runs in .venv, which the stamp files below create and update once.
PYTHON ?= python3
SETS := noto@1.2.9 noto-v1@1.2.5 fluent-emoji@1.2.7 fluent-emoji-flat@1.2.6 twemoji@1.2.5 emojione@1.2.3
STAGE ?= from-nothing
EXPERIMENT ?= all
PROFILE ?= smoke
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
CORE := .venv/.core
FULL := .venv/.full
# Not under a folder named _build: nbmake collects nothing there.
BOOK := build/book
NOTEBOOKS := build/notebooks.stamp
BROWSER := .browser
SOURCES := $(wildcard notebooks/*.py notebooks/*.ipynb) $(shell find conceptrevive -name "*.py") $(shell find conceptrevive/assets -type f 2>/dev/null) $(shell find results -name "*.json" -not -path "results/smoke/*")

# What is measured is shared by processes of one thread each; give as many as there are GPUs, if
# there are some. By --multi_gpu accelerate starts several, on a processor too.
PROCESSES ?= 2
LAUNCH := OMP_NUM_THREADS=1 $(BIN)/accelerate launch $(if $(filter-out 1,$(PROCESSES)),--multi_gpu) --num_processes $(PROCESSES) \
	--num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0

export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help demo test test-slow mutants reproduce lint format sync notebooks book browser accessible pdf links artwork train measure rates card pages bench solvers full-size oldest newest clean

help:
	@echo "make demo       erase, revive and defend one concept; writes demo/demo.png and demo/demo.json"
	@echo "make test       the tests (ARGS='-k name' narrows them); make test-slow runs the long ones"
	@echo "make oldest     the package's tests with the oldest torch, diffusers and transformers; make newest with the newest"
	@echo "make mutants    do the tests notice small faults in the package? writes results/mutants.json"
	@echo "make lint       ruff, formatting, types, import contracts, notebook pairs; make format and make sync repair them"
	@echo "make notebooks  run every notebook; make book renders them to build/book/_build/html"
	@echo "make links     are the addresses outside the book still there?"
	@echo "make accessible looks at every built page in Chromium (fetched by npm): accessibility, errors, figures that move"
	@echo "make pdf        prints the built book in the same Chromium: build/book/_build/html/conceptrevive.pdf"
	@echo "make measure    measure the shipped model, every concept's erasing and revival; make card shows it in the book"
	@echo "make pages      every generated page of the book, the picture of the package too"
	@echo "make reproduce  the paper's tables and figures (EXPERIMENT=all PROFILE=smoke); writes results/PROFILE"
	@echo "make bench      time the attack against the paper's loop; make solvers counts signs and judges pictures of each solver"
	@echo "make full-size  time and memory of each step at Stable Diffusion 1.5's size, random weights (ARGS='--device cuda')"
	@echo "make artwork    fetch the emoji artwork; make train STAGE=v7 paints with it and trains the pocket model"

$(BIN)/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(FULL): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[book,test,train]'
	@touch $(CORE) $@

demo: $(CORE)
	$(BIN)/conceptrevive demo --out demo $(ARGS)

# Two processes of one thread each: what is tested is small, and threads gain little there. A file's tests stay together, for
# what they share.
test: $(FULL)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(PROCESSES) --dist loadfile $(ARGS)

test-slow: $(FULL)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n $(PROCESSES) --dist loadfile $(ARGS)

# Small faults, one at a time, in a copy of the package: do its tests notice? Goes on where it stopped.
mutants: $(FULL)
	$(PIP) --editable '.[mutants]'
	OMP_NUM_THREADS=1 $(BIN)/python -m mutation $(ARGS)

# Minutes for the profile smoke, hours for laptop; goes on where it stopped when called again.
reproduce: $(FULL)
	$(LAUNCH) -m conceptrevive reproduce $(EXPERIMENT) --profile $(PROFILE) $(ARGS)

lint: $(FULL)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pages.notebooks --check

format: $(FULL)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sync: $(FULL)
	$(BIN)/python -m pages.notebooks

# Notebooks run in a copy, so that outputs never reach the sources; they run again when the package changes. Figures come from
# the notebook's own backend, whatever MPLBACKEND says outside.
$(NOTEBOOKS): $(SOURCES) | $(FULL)
	$(BIN)/python -m pages.notebooks --check
	rm -rf $(BOOK)/notebooks
	mkdir -p $(BOOK)/notebooks
	$(BIN)/python -m pages.notebooks --book $(BOOK)/notebooks
	env -u MPLBACKEND HF_HUB_OFFLINE=1 CONCEPTREVIVE_STATIC=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) \
		--nbmake --nbmake-timeout=900 --overwrite --durations=0 $(BOOK)/notebooks
	$(BIN)/python -m pages.executed $(BOOK)/notebooks
	@touch $@

notebooks: $(NOTEBOOKS)

# Notebooks are already executed: Jupyter Book only renders, and any warning fails it.
book: $(NOTEBOOKS)
	rm -rf $(BOOK)/book $(BOOK)/results $(BOOK)/_build
	cp -r _config.yml _toc.yml CHANGELOG.md book $(BOOK)/
	$(BIN)/python -m pages.reference $(BOOK)/book/generated
	if [ -d results ]; then cp -r results $(BOOK)/; fi
	$(BIN)/jupyter-book build $(BOOK) -W -n --keep-going

# Addresses outside the book; needs the internet.
links: $(NOTEBOOKS)
	test -f $(BOOK)/book/generated/api.md || $(MAKE) book
	$(BIN)/jupyter-book build $(BOOK) --builder linkcheck

# Chromium, the accessibility rules and the fonts of the printed book, as npm packages.
$(BROWSER)/node_modules: pages/browser/package.json
	mkdir -p $(BROWSER)
	cp pages/browser/package.json $(BROWSER)/
	npm install --prefix $(BROWSER) --no-audit --no-fund --loglevel=error
	@touch $@

# Every page of the built book in a browser: accessibility, errors, what is asked of other servers, figures that move.
browser: $(BROWSER)/node_modules

accessible: $(BROWSER)/node_modules
	cp pages/browser/* $(BROWSER)/
	node $(BROWSER)/look.mjs $(BOOK)/_build/html $(ARGS)

# The built pages as one file, published beside them.
pdf: $(BROWSER)/node_modules
	cp pages/browser/* $(BROWSER)/
	node $(BROWSER)/print.mjs $(BOOK)/_build/html $(BOOK)/_build/html/conceptrevive.pdf \
		--version $$(sed -n 's/^version: //p' CITATION.cff)

artwork:
	mkdir -p .artwork
	npm install --prefix .artwork --no-audit --no-fund --save-exact $(addprefix @iconify-json/,$(SETS))

# Each step writes to runs/; the last one goes on where it stopped when called again. STAGE is a
# table of training/stages.toml.
train: $(FULL)
	test -d .artwork/node_modules/@iconify-json/noto || $(MAKE) artwork
	test -f runs/vae/config.json || $(BIN)/python -m training.train_autoencoder --out runs/vae
	for judge in classifier control clip; do \
		test -f runs/$$judge/config.json || \
		$(BIN)/python -m training.train_judges $$judge --vae runs/vae --out runs/$$judge || exit 1; \
	done
	$(BIN)/python -m training.train_pocket --stage $(STAGE) $(ARGS)

# An hour and a half on two cores; the phenomenon goes on where it stopped when called again.
measure: $(FULL)
	test -d .artwork/node_modules/@iconify-json/noto || $(MAKE) artwork
	$(BIN)/python -m training.quality $(if $(wildcard runs/control/config.json),--control runs/control) --out results/pocket/quality.json
	$(LAUNCH) -m conceptrevive.experiments.phenomenon --out results/pocket/phenomenon.json
	$(BIN)/python -m pages.samples
	$(MAKE) card

# The audit's false positives and power, and the limits that follow; goes on where it stopped.
rates: $(FULL)
	$(LAUNCH) -m calibration.rates --out results/audit/rates.json --install

card: $(FULL)
	$(BIN)/python -m pages.model_card

# Every generated page: from the code, and from what was measured.
pages: card
	$(BIN)/python -m pages.architecture
	$(BIN)/python -m pages.benchmarks
	$(BIN)/python -m pages.scorecard
	$(BIN)/python -m pages.experiments
	$(BIN)/python -m pages.at_scale

# Three quarters of an hour on two cores for `bench`, hours for `solvers`; both go on where they stopped. ARGS=--quick rehearses `bench`.
bench: $(FULL)
	$(BIN)/python -m benchmarks $(ARGS)
	$(BIN)/python -m pages.benchmarks
	$(BIN)/python -m pages.experiments
	$(BIN)/python -m pages.at_scale

solvers: $(FULL)
	$(LAUNCH) -m benchmarks.solvers $(ARGS)
	$(BIN)/python -m pages.benchmarks

# Random weights of exactly Stable Diffusion 1.5's shapes; minutes on a processor, 18 GB of disk. ARGS='--share 0.1 --out build/full-size' rehearses it.
full-size: $(CORE)
	$(BIN)/python -m benchmarks.full_size $(ARGS)

# Libraries at either end of their ranges, each in an environment of its own; the tests of the package.
RANGED := $(addprefix tests/,models concepts checkpoints unlearning defence detectors revival evaluation auditing cli experiments)

oldest:
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable '.[test]'
	.venv-oldest/bin/python -m pytest -m "not slow" $(RANGED) $(ARGS)

newest:
	test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[test]'
	.venv-newest/bin/python -m pytest -m "not slow" $(RANGED) $(ARGS)

clean:
	rm -rf build demo dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
