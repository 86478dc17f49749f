# Every target is a stage or a check; the logic is in the scripts. RECIPE= chooses the folder of recipes/, ARGS= adds keys.
RECIPE ?= arithmetic
ARGS ?=
STUDENTS ?=
VENV ?= .venv
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: help install demo base check grpo generate sft on_policy evaluate distill compare sweep test test-all smoke lint clean

install: $(VENV)/installed  ## creates .venv with everything in requirements.txt

$(VENV)/installed: requirements.txt pyproject.toml
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet torch==$$(sed -n 's/^torch==\([^ ]*\).*/\1/p' requirements.txt)
	$(VENV)/bin/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(VENV)/bin/python -m pip install --quiet -r requirements-dev.txt
	touch $@

demo: install  ## the whole story on RECIPE: grpo, generate, sft, evaluate
	@$(MAKE) --no-print-directory grpo distill

check: install  ## audits the rewards of RECIPE on completions that cheat
	python -m recipes.tools.check --config recipes/$(RECIPE)/grpo.yaml

grpo generate sft on_policy evaluate:  ## one stage
	@./launch.sh $@ recipes/$(RECIPE)/$@.yaml $(ARGS)

distill:  ## generate, then sft, then evaluate
	@$(MAKE) --no-print-directory generate
	@$(MAKE) --no-print-directory sft
	@$(MAKE) --no-print-directory evaluate

compare: install  ## distilled against RL by itself at equal compute, three seeds (arithmetic: about 11 minutes)
	python -m recipes.tools.compare --recipe $(RECIPE) $(ARGS)

sweep: install  ## STUDENTS="model model ...": each learns the traces of the run; accuracy against size, speed and memory
	python -m recipes.tools.sweep --recipe $(RECIPE) --students $(STUDENTS) $(ARGS)

base: install  ## makes the two models that recipes/arithmetic ships anew
	python -m recipes.arithmetic.pretrain

smoke: install  ## the whole story, two steps a stage
	@$(MAKE) --no-print-directory grpo ARGS="--max_steps 2 --output_dir outputs/smoke"
	@$(MAKE) --no-print-directory generate ARGS="--max_train_samples 100 --num_generations 8 --output_dir outputs/smoke"
	@$(MAKE) --no-print-directory sft ARGS="--max_steps 2 --output_dir outputs/smoke"
	@$(MAKE) --no-print-directory evaluate ARGS="--max_eval_samples 20 --output_dir outputs/smoke"

lint: $(VENV)/installed-dev
	ruff check . && ruff format --check . && mypy

test: lint  ## lint, types and the tests: no network, no accelerator
	pytest

test-all: lint  ## every test this machine can run, slow ones too; lists those it cannot
	pytest -m "" -rs --durations=20

clean:  ## removes outputs/
	rm -rf outputs
