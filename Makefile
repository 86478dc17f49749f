# Every target is a stage or a check; the logic is in the scripts.
#
#   make demo RECIPE=gsm8k ARGS="--max_steps 10"
RECIPE ?= arithmetic
ARGS ?=
STUDENTS ?=
VENV ?= .venv
export PATH := $(abspath $(VENV))/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install demo base check grpo generate sft on_policy evaluate distill compare sweep test test-all smoke lint clean

help:  ## prints the targets
	@grep -hE '^[a-z_ -]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 48

install: $(VENV)/installed  ## creates .venv with everything in requirements.txt

$(VENV)/installed: requirements.txt pyproject.toml
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet torch==$$(sed -n 's/^torch==\([^ ]*\).*/\1/p' requirements.txt)
	$(VENV)/bin/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(VENV)/bin/python -m pip install --quiet -r requirements-dev.txt
	touch $@

demo: install  ## all stages of RECIPE: grpo, generate, sft, evaluate
	@$(MAKE) --no-print-directory grpo distill

check: install  ## audits the rewards of RECIPE on completions that cheat
	python -m recipes.tools.check --config recipes/$(RECIPE)/grpo.yaml

grpo generate sft on_policy evaluate:  ## one stage of RECIPE, with the keys in ARGS
	@./launch.sh $@ recipes/$(RECIPE)/$@.yaml $(ARGS)

distill:  ## generate, then sft, then evaluate
	@$(MAKE) --no-print-directory generate
	@$(MAKE) --no-print-directory sft
	@$(MAKE) --no-print-directory evaluate

compare: install  ## distillation against RL at equal compute, three seeds (arithmetic: 11 minutes)
	python -m recipes.tools.compare --recipe $(RECIPE) $(ARGS)

sweep: install  ## STUDENTS="model model": each learns the traces; accuracy against size and speed
	python -m recipes.tools.sweep --recipe $(RECIPE) --students $(STUDENTS) $(ARGS)

base: install  ## pretrains the two models of recipes/arithmetic from scratch
	python -m recipes.arithmetic.pretrain

smoke: install  ## all stages, two steps each
	@$(MAKE) --no-print-directory grpo ARGS="--max_steps 2 --output_dir outputs/smoke"
	@$(MAKE) --no-print-directory generate ARGS="--max_train_samples 100 --num_generations 8 --output_dir outputs/smoke"
	@$(MAKE) --no-print-directory sft ARGS="--max_steps 2 --output_dir outputs/smoke"
	@$(MAKE) --no-print-directory evaluate ARGS="--max_eval_samples 20 --output_dir outputs/smoke"

lint: $(VENV)/installed-dev  ## ruff and mypy
	ruff check . && ruff format --check . && mypy

test: lint  ## lint, types and tests: no network, no accelerator, 6 minutes
	pytest

test-all: lint  ## every test this machine can run, slow ones too; lists those it cannot
	pytest -m "" -rs --durations=20

clean:  ## removes outputs/
	rm -rf outputs
