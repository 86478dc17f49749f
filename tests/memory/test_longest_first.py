"""`longest_first` puts the step that needs the most memory first."""

import json

from recipes.core.files import read_jsonl
from recipes.core.prompts.messages import render_prompt
from recipes.core.prompts.tokenizer import load_tokenizer
from tests.support.commands import ok, stage

MAX_COMPLETION_LENGTH = 30


def test_the_first_step_has_the_longest_prompts_and_completions_of_full_length(tmp_path):
    # The longest four questions, those of three digits, are neither first nor last.
    factors = [*range(1, 10), *range(100, 104), *range(10, 30)]
    dataset = tmp_path / "train.jsonl"
    with dataset.open("w") as file:
        for factor in factors:
            row = {"question": f"{factor}*3+1", "answer": f"{3 * factor + 1}"}
            file.write(json.dumps(row) + "\n")

    keys = {
        "output_dir": tmp_path / "out",
        "dataset_name": dataset,
        "longest_first": True,
        "max_steps": 2,
        "per_device_train_batch_size": 32,
        "num_generations": 8,
        "max_completion_length": MAX_COMPLETION_LENGTH,
        "report_to": "none",
    }
    flags = [word for key, value in keys.items() for word in (f"--{key}", value)]
    done = ok(stage("grpo", "recipes/arithmetic/grpo.yaml", *flags))

    rollouts = read_jsonl(tmp_path / "out/rollouts/train.jsonl")
    first_step = [row for row in rollouts if row["step"] == 0]
    second_step = [row for row in rollouts if row["step"] == 1]
    questions = {row["prompt"][-1]["content"] for row in first_step}
    assert questions == {"100*3+1", "101*3+1", "102*3+1", "103*3+1"}, done.stderr

    tokenizer = load_tokenizer("recipes/arithmetic/models/base")
    assert all(len(render_prompt(tokenizer, row["prompt"])) <= 8 for row in first_step)

    def lengths(step):
        return [len(tokenizer(row["completion"])["input_ids"]) for row in step]

    assert max(lengths(first_step)) == MAX_COMPLETION_LENGTH
    assert min(lengths(first_step)) >= 25  # a few tokens may be special ones, which have no text
    assert min(lengths(second_step)) < 20
