"""The stages on rows without golds, on plain texts, and on columns with TRL's names."""

import json
from types import SimpleNamespace

import pytest
from trl import GRPOTrainer, ModelConfig

from recipes.core.errors import UserError
from recipes.core.files import read_jsonl, replace_jsonl
from recipes.core.generation import SamplerArguments, open_sampler
from recipes.core.prompts import lacks_special_tokens, render_prompt
from tests.support.commands import stage_here

GRPO = "recipes/arithmetic/grpo.yaml"
GENERATE = "recipes/arithmetic/generate.yaml"
BASE = "recipes/arithmetic/models/base"
STEP = ("--max_steps", 1, "--per_device_train_batch_size", 8, "--num_generations", 4)


def text_lengths(completions, prompts, **columns):
    """TRL's form; plain prompts have plain completions."""
    assert all(isinstance(text, str) for text in [*completions, *prompts])
    return [float(len(text)) for text in completions]


def grpo(folder, rows, *keys):
    """The rollouts of one GRPO step on these rows."""
    replace_jsonl(folder / "data.jsonl", rows)
    data = ("--dataset_name", folder / "data.jsonl", "--output_dir", folder / "out")
    stage_here("grpo", GRPO, *data, *STEP, *keys)
    return read_jsonl(folder / "out/rollouts/train.jsonl")


@pytest.mark.parametrize("rewards", [["format"], ["trl.rewards:think_format_reward"]])
def test_rows_without_golds_train_with_rewards_that_need_none(tmp_path, rewards):
    rows = [{"prompt": [{"role": "user", "content": f"{n}*2+1"}]} for n in range(10, 18)]
    rollouts = grpo(tmp_path, rows, "--rewards", json.dumps(rewards))
    assert {row["answer"] for row in rollouts} == {None}
    assert len({row["question_id"] for row in rollouts}) == 2


@pytest.mark.parametrize("reward", ["accuracy", "tests.support.user_rewards:repeats_gold"])
def test_rows_without_golds_are_refused_for_a_reward_that_needs_them(tmp_path, reward):
    with pytest.raises(UserError, match="there is no column 'answer'; there are: prompt"):
        grpo(tmp_path, [{"prompt": "1+1"}], "--rewards", json.dumps(["format", reward]))


def test_rewards_see_plain_texts_where_the_prompts_are_plain(tmp_path):
    rows = [{"prompt": f"{n}*2+1=", "completions": ["a"], "self": 1} for n in range(10, 18)]
    rewards = json.dumps([f"{__name__}:text_lengths", "format"])
    for row in grpo(tmp_path, rows, "--rewards", rewards):
        assert row["prompt"] in [one["prompt"] for one in rows]
        assert row["rewards"]["text_lengths"] == len(row["completion"])


def test_generate_continues_plain_texts(tmp_path):
    rows = [{"prompt": f"{n}*2+1=", "answer": 2 * n + 1} for n in range(10, 26)]
    replace_jsonl(tmp_path / "data.jsonl", rows)
    data = ("--dataset_name", tmp_path / "data.jsonl", "--output_dir", tmp_path)
    stage_here("generate", GENERATE, *data, "--model_name_or_path", BASE, "--num_generations", 16)
    samples = read_jsonl(tmp_path / "generations.jsonl")
    assert [row["prompt"] for row in samples[::16]] == [row["prompt"] for row in rows]
    # The text is what the template of the model makes of a question, so it answers.
    assert sum(row["correct"] for row in samples) > 0


@pytest.mark.parametrize("prompt", ["1+1=", [{"role": "user", "content": "1+1"}]])
def test_a_prompt_has_the_tokens_that_trl_gives_it(prompt):
    with open_sampler(BASE, ModelConfig(), SamplerArguments()) as sampler:
        tokenizer = sampler.tokenizer
    # A tokenizer that begins each text with a token of its own, as Llama's does.
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    tokenizer.add_bos_token = True
    text = render_prompt(tokenizer, prompt)
    ids = tokenizer(text, add_special_tokens=lacks_special_tokens(prompt))["input_ids"]

    trainer = SimpleNamespace(
        processing_class=tokenizer,
        tools=None,
        environment_factories=None,
        chat_template=None,
        chat_template_kwargs={},
        _is_vlm=False,
    )
    assert GRPOTrainer._tokenize_prompts(trainer, [prompt])[0] == [ids]
    assert (ids[0] == tokenizer.bos_token_id) == isinstance(prompt, str)
