"""`sft` learns datasets as `trl sft` does, and measures the loss on their test split."""

import json

import pytest
from trl import SFTTrainer

from recipes.core.errors import UserError
from recipes.core.files import replace_jsonl
from tests.support.commands import stage_here

CONFIG = """
dtype: float32
bf16: false
gradient_checkpointing: false
per_device_train_batch_size: 2
max_steps: 2
logging_steps: 1
report_to: none
"""
MEASURED = """
eval_strategy: steps
eval_steps: 1
save_strategy: steps
save_steps: 1
load_best_model_at_end: true
"""


def conversation(number):
    reply = f"<think>{number}*2={2 * number}</think><answer>{2 * number + 1}</answer>"
    user = {"role": "user", "content": f"{number}*2+1"}
    return {"messages": [user, {"role": "assistant", "content": reply}]}


def learn(folder, tiny_models, config, *keys):
    (folder / "sft.yaml").write_text(config)
    model = ("--model_name_or_path", tiny_models / "base", "--output_dir", folder)
    stage_here("sft", folder / "sft.yaml", *model, *keys)
    return folder / "student"


def test_conversations_are_learnt_and_the_best_checkpoint_is_taken(tmp_path, tiny_models):
    data = tmp_path / "data"
    replace_jsonl(data / "train.jsonl", [conversation(n) for n in range(8)])
    replace_jsonl(data / "test.jsonl", [conversation(n) for n in range(8, 10)])
    # Steps that only do harm: the first checkpoint is the best.
    harmful = "learning_rate: 0.5\nlr_scheduler_type: constant\n"
    keys = ("--dataset_name", data, "--save_total_limit", 2)
    student = learn(tmp_path, tiny_models, CONFIG + MEASURED + harmful, *keys)
    state = json.loads((student / "checkpoint-2/trainer_state.json").read_text())
    losses = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
    assert len(losses) == 2
    best = student / f"checkpoint-{1 + losses.index(min(losses))}"
    weights = [(folder / "model.safetensors").read_bytes() for folder in (student, best)]
    assert weights[0] == weights[1]


def test_tools_reach_the_chat_template(tmp_path, tiny_models, monkeypatch):
    tokens = []
    monkeypatch.setattr(
        SFTTrainer, "train", lambda self, **_: tokens.extend(self.train_dataset["input_ids"])
    )
    template = (
        "{% if tools %}{{ tools[0].name }}{% endif %}"
        "{% for m in messages %}{{ m.content }}{% endfor %}{{ eos_token }}"
    )
    replace_jsonl(tmp_path / "data.jsonl", [conversation(1) | {"tools": [{"name": "777"}]}] * 8)
    keys = ("--dataset_name", tmp_path / "data.jsonl", "--chat_template", template)
    with pytest.raises(UserError, match="not one step was trained"):  # the trainer is a dummy
        learn(tmp_path, tiny_models, CONFIG, *keys)
    assert len(tokens) == 8
    assert all(len(set(row[:3])) == 1 for row in tokens)


def test_the_best_of_nothing_measured_is_refused(tmp_path, tiny_models):
    replace_jsonl(tmp_path / "traces.jsonl", [{"prompt": "1+1=", "completion": "2"}] * 4)
    with pytest.raises(UserError, match="load_best_model_at_end: there is nothing to measure"):
        learn(tmp_path, tiny_models, CONFIG + MEASURED)
    assert not (tmp_path / "student").exists()
