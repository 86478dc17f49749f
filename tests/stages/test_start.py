"""What a training starts from, and what it refuses to start with; by the real stages."""

import json

import pytest

from recipes.core.errors import UserError
from recipes.core.files import read_jsonl
from tests.support.commands import largest_difference, stage_here, weights

GRPO = "recipes/arithmetic/grpo.yaml"
SFT = "recipes/arithmetic/sft.yaml"
BASE = "recipes/arithmetic/models/base"
BATCH = ("--per_device_train_batch_size", 32, "--num_generations", 8, "--max_steps", 1)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """The policy of one step of GRPO."""
    out = tmp_path_factory.mktemp("first")
    stage_here("grpo", GRPO, "--output_dir", out, *BATCH)
    return out / "policy"


def test_grpo_starts_from_an_adapter_which_is_merged_once_and_said(tmp_path, adapter, caplog):
    from trl import ModelConfig

    from recipes.core.models import load_model

    keys = ("--output_dir", tmp_path, *BATCH, "--model_name_or_path", adapter)
    with caplog.at_level("INFO"):
        stage_here("grpo", GRPO, *keys)
    merged = tmp_path / "policy_base"
    assert f"the adapter {adapter} was merged with {BASE} into {merged}" in caplog.text

    # What is trained from is what generate and evaluate would sample from.
    expected = load_model(adapter, ModelConfig(dtype="float32")).state_dict()
    model = weights(merged)
    assert largest_difference(model, {name: expected[name] for name in model}) == 0
    # The new adapter stands on it, wherever the folder of the run goes.
    assert load_model(tmp_path / "policy", ModelConfig(dtype="float32"))
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert load_model(moved / "policy", ModelConfig(dtype="float32"))

    # It is merged once; another adapter never takes its place.
    before = (moved / "policy_base/model.safetensors").stat().st_mtime_ns
    keys = ("--output_dir", moved, *BATCH, "--model_name_or_path")
    with pytest.raises(UserError, match="policy_base is the base of another run"):
        stage_here("grpo", GRPO, *keys, moved / "policy")
    assert (moved / "policy_base/model.safetensors").stat().st_mtime_ns == before


def test_sft_starts_from_an_adapter_without_a_tokenizer(tmp_path, adapter, traces):
    bare = tmp_path / "adapter"
    bare.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (bare / name).write_bytes((adapter / name).read_bytes())
    keys = ("--traces", traces, "--max_steps", 1, "--model_name_or_path", bare)
    stage_here("sft", SFT, "--output_dir", tmp_path / "out", *keys)
    assert (tmp_path / "out/student/model.safetensors").exists()
    assert (tmp_path / "out/student/tokenizer_config.json").exists()


def test_an_evaluation_batch_may_be_larger_than_a_generation(tmp_path):
    keys = ("--per_device_eval_batch_size", 64, "--eval_strategy", "steps", "--eval_steps", 1)
    stage_here("grpo", GRPO, "--output_dir", tmp_path, *BATCH, *keys, "--max_eval_samples", 16)
    rows = read_jsonl(tmp_path / "rollouts/eval.jsonl")
    assert len({row["question_id"] for row in rows}) == 16 and len(rows) == 128


REFUSED = {
    "fewer questions than a step": (
        ("--max_train_samples", 3),
        "a step needs 4 questions .32 completions, 8 per question., and there are 3",
    ),
    "longer than the model": (
        ("--max_completion_length", 300),
        "do not fit into the 256 positions of recipes/arithmetic/models/base",
    ),
    "nothing to compare": (("--temperature", 0), "temperature: 0 samples the same completion"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_is_refused_before_anything_is(tmp_path, name):
    keys, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        stage_here("grpo", GRPO, "--output_dir", tmp_path, *BATCH, *keys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["generate", "evaluate"])
def test_a_stage_that_samples_stays_within_the_model_as_well(tmp_path, name):
    keys = ("--output_dir", tmp_path, "--model_name_or_path", BASE, "--max_train_samples", 5)
    keys += ("--max_eval_samples", 5, "--max_completion_length", 300)
    with pytest.raises(UserError, match=f"do not fit into the 256 positions of {BASE}"):
        stage_here(name, f"recipes/arithmetic/{name}.yaml", *keys)


def test_a_tokenizer_without_an_end_of_sequence_is_refused_in_one_line(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BASE)
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    config = json.loads(file.read_text())
    del config["eos_token"]
    file.write_text(json.dumps(config))
    (tmp_path / "config.json").write_text("{}")
    for template in ("{{ messages[0].content }}{{ eos_token }}", "{{ messages[0].content }}"):
        (tmp_path / "chat_template.jinja").write_text(template)
        with pytest.raises(UserError, match="its tokenizer has no end-of-sequence token"):
            stage_here("grpo", GRPO, "--model_name_or_path", tmp_path, *BATCH)
