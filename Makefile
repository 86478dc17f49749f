# Every target is a stage or a check; the logic is in the scripts. `make` alone lists the targets.
#
#   make demo RECIPE=gsm8k ARGS="--max_steps 10"
RECIPE ?= arithmetic
ARGS ?=
STUDENTS ?=
VENV ?= .venv
PYTHON ?= python3
export VIRTUAL_ENV := $(abspath $(VENV))
export PATH := $(VIRTUAL_ENV)/bin:$(PATH)

# Stops an installation by an old Python before a gigabyte is downloaded.
is_recent = $(shell $(PYTHON) -c "import sys; print('yes' * (sys.version_info >= (3, 11)))" 2>/dev/null)
require_python = $(if $(is_recent),,$(error $(PYTHON) is missing or older than 3.11; \
	name another one, such as `make $(or $(MAKECMDGOALS),install) PYTHON=python3.12`))

.DEFAULT_GOAL := help
.PHONY: help install demo base check grpo generate sft on_policy evaluate distill compare sweep test test-all smoke lint clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z_ -]+:.*## / {printf "%-38s %s\n", $$1, $$2}' Makefile

install: $(VENV)/installed  ## create .venv with everything in requirements.txt

$(VENV)/installed: requirements.txt pyproject.toml
	$(require_python)$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet torch==$$(sed -n 's/^torch==\([^ ]*\).*/\1/p' requirements.txt)
	$(VENV)/bin/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(VENV)/bin/python -m pip install --quiet -r requirements-dev.txt
	touch $@

demo: install  ## run all stages of RECIPE (default: arithmetic): grpo, generate, sft, evaluate
	@$(MAKE) --no-print-directory grpo distill

check: install  ## audit the rewards of RECIPE on completions that cheat
	python -m recipes.tools.check --config "recipes/$(RECIPE)/grpo.yaml"

grpo generate sft on_policy evaluate:  ## run one stage of RECIPE, with the keys in ARGS
	@./launch.sh $@ "recipes/$(RECIPE)/$@.yaml" $(ARGS)

distill:  ## run generate, then sft, then evaluate
	@$(MAKE) --no-print-directory generate
	@$(MAKE) --no-print-directory sft
	@$(MAKE) --no-print-directory evaluate

compare: install  ## compare distillation with RL at equal compute, three seeds (arithmetic: 11 minutes)
	python -m recipes.tools.compare --recipe "$(RECIPE)" $(ARGS)

sweep: install  ## train each of STUDENTS="model model" on the traces: accuracy, size and speed
	python -m recipes.tools.sweep --recipe "$(RECIPE)" --students $(STUDENTS) $(ARGS)

base: install  ## pretrain the two models of recipes/arithmetic from scratch (13 to 16 minutes)
	python -m recipes.arithmetic.pretrain

smoke: install  ## run all stages of RECIPE for two steps each
	@$(MAKE) --no-print-directory grpo ARGS="--max_steps 2 --output_dir outputs/smoke"
	@$(MAKE) --no-print-directory generate ARGS="--max_train_samples 100 --num_generations 8 --output_dir outputs/smoke"
	@$(MAKE) --no-print-directory sft ARGS="--max_steps 2 --output_dir outputs/smoke"
	@$(MAKE) --no-print-directory evaluate ARGS="--max_eval_samples 20 --output_dir outputs/smoke"

lint: $(VENV)/installed-dev  ## check style and types: ruff and mypy
	ruff check . && ruff format --check . && mypy

test: lint  ## run lint and the tests: no network, no accelerator, about 6 minutes
	pytest

test-all: lint  ## run every test that this machine can, slow ones too, and list those it cannot
	pytest -m "" -rs --durations=20

clean:  ## remove outputs/
	rm -rf outputs
