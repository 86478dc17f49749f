"""`longest_first`: what needs the most memory comes in the first step, and where it does not fit the message says what to write."""

import json
import re
import sys

import pytest

from recipes.core.files import read_jsonl
from recipes.core.prompts.messages import render_prompt
from recipes.core.prompts.tokenizer import load_tokenizer
from tests.support.commands import ok, run, stage

GRPO = "recipes/arithmetic/grpo.yaml"
BATCH = ("--per_device_train_batch_size", 32, "--num_generations", 8)


def test_with_longest_first_the_first_step_has_the_longest_prompts_and_completions_of_full_length(
    tmp_path,
):
    tokenizer = load_tokenizer("recipes/arithmetic/models/base")
    rows = [
        {"question": f"{n}*3+1", "answer": f"{3 * n + 1}"}
        for n in [*range(1, 10), *range(100, 104), *range(10, 30)]
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = ok(stage("grpo", GRPO, "--output_dir", tmp_path / "out", "--max_steps", 2, *BATCH, "--longest_first", "--dataset_name",
                    tmp_path / "train.jsonl", "--max_completion_length", 30, "--report_to", "none"))  # fmt: skip
    steps = read_jsonl(tmp_path / "out/rollouts/train.jsonl")
    first = [row for row in steps if row["step"] == 0]
    assert {row["prompt"][-1]["content"] for row in first} == {
        f"{n}*3+1" for n in range(100, 104)
    }, done.stderr
    lengths = [
        [len(tokenizer(row["completion"])["input_ids"]) for row in steps if row["step"] == step]
        for step in (0, 1)
    ]
    assert min(lengths[0]) >= 25  # of 30 tokens; a few may be special ones, which are no text
    assert max(lengths[0]) == 30 and min(lengths[1]) < 20
    assert all(len(render_prompt(tokenizer, row["prompt"])) <= 8 for row in first)


@pytest.mark.slow
def test_out_of_memory_comes_in_the_first_step_and_the_message_names_a_setting_that_fits(tmp_path):
    def train(batch, steps):
        keys = f"--per_device_train_batch_size {batch} --gradient_accumulation_steps {steps} --longest_first --max_steps 1"
        command = f"{sys.executable} recipes/grpo.py --config {GRPO} {keys} --output_dir {tmp_path}/{batch}"
        return run("bash", "-c", f"ulimit -v 9000000; {command}")

    done = train(4096, 1)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    asks = r"error: step 0: out of memory: .* write `per_device_train_batch_size: (\d+)` and `gradient_acc\w+: (\d+)`"
    found = re.search(asks, done.stderr)
    assert found, done.stderr[-2000:]
    ok(train(*map(int, found.groups())))


@pytest.mark.slow
def test_out_of_memory_while_completions_are_drawn_is_one_line_too(tmp_path):
    config = "recipes/arithmetic/generate.yaml --model_name_or_path recipes/arithmetic/models/base"
    keys = f"--output_dir {tmp_path} --batch_size 90000 --num_generations 16"
    done = run(
        "bash",
        "-c",
        f"ulimit -v 3500000; {sys.executable} recipes/generate.py --config {config} {keys}",
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "error: out of memory: " in done.stderr and "write a smaller batch_size" in done.stderr


def test_activation_offloading_without_a_gpu_is_refused(tmp_path, traces):
    done = stage(
        "sft",
        "recipes/arithmetic/sft.yaml",
        "--output_dir",
        tmp_path,
        "--traces",
        traces,
        "--activation_offloading",
    )
    assert done.returncode == 2 and "error: activation_offloading: there is no GPU" in done.stderr
