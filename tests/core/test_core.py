"""Files that survive a kill, runs that go on, scores that mean what they say, samples that repeat."""

import json

import pytest

from recipes.core.distillation.trace_dataset import (
    check_first_target,
    drop_long_traces,
    split_by_question,
)
from recipes.core.errors import UserError
from recipes.core.files import append_jsonl, filter_jsonl, read_jsonl, write_json
from recipes.core.models.loading import training_dtype, weight_dtype
from recipes.core.preflight.model import check_model_path
from recipes.core.prompts.tokenizer import load_tokenizer
from recipes.core.runs.fingerprints import model_sha256
from recipes.core.runs.manifest import write_manifest
from tests.support.commands import ROOT, stage

SHIPPED = ROOT / "recipes/arithmetic/models/base"


def test_a_torn_last_line_is_dropped_and_all_others_stay(tmp_path):
    file = tmp_path / "a" / "rows.jsonl"
    assert read_jsonl(file) == []
    append_jsonl(file, [{"n": 1}, {"n": 2, "text": "line\nbreak \u2028"}])
    with file.open("ab") as handle:
        handle.write(b'{"n": 3, "te')
    assert [row["n"] for row in read_jsonl(file)] == [1, 2]
    assert [row["n"] for row in filter_jsonl(file, lambda row: True)] == [1, 2]
    append_jsonl(file, [{"n": 3}])
    assert [row["n"] for row in read_jsonl(file)] == [1, 2, 3]
    assert filter_jsonl(file, lambda row: row["n"] < 2) == [{"n": 1}]
    assert file.read_text() == '{"n": 1}\n'


def test_documents_are_replaced_whole(tmp_path):
    path = tmp_path / "a" / "manifest.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert [p.name for p in path.parent.iterdir()] == ["manifest.json"]


def test_models_that_are_none_are_refused_before_anything_is_loaded(tmp_path):
    assert check_model_path("m", "Qwen/Qwen3-0.6B-Base") == "Qwen/Qwen3-0.6B-Base"
    (tmp_path / "notes.txt").touch()
    for name, message in (
        (None, "m is not set"),
        (str(tmp_path / "x"), "there is no folder"),
        (str(tmp_path), "holds no model.*notes.txt"),
    ):
        with pytest.raises(UserError, match=message):
            check_model_path("m", name)


def trace(text):
    return {
        "prompt": [{"role": "user", "content": "23*7+5"}],
        "completion": [{"role": "assistant", "content": text}],
    }


@pytest.mark.parametrize("name", ["generate", "evaluate"])
def test_keys_of_a_training_are_refused_where_nothing_is_trained(name):
    done = stage(name, f"recipes/arithmetic/{name}.yaml", "--load_in_4bit")
    assert done.returncode == 2 and "error: load_in_4bit: is for grpo and sft" in done.stderr


@pytest.mark.parametrize(
    ("dtype", "use_peft", "sharded", "expected"),
    [
        (
            None,
            False,
            None,
            "float32",
        ),  # bfloat16 holds 3 digits: AdamW's steps would be rounded away
        (None, False, "DEEPSPEED", "bfloat16"),  # which trains a copy in float32
        (None, False, "FSDP", "bfloat16"),  # the same
        (None, True, None, "bfloat16"),  # peft makes the adapters float32
        ("bfloat16", False, None, "bfloat16"),  # as asked for
    ],
)
def test_on_a_gpu_full_weights_are_trained_in_float32_unless_something_else_keeps_a_copy(
    monkeypatch, dtype, use_peft, sharded, expected
):
    import torch
    from trl import ModelConfig

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    for kind in ("DEEPSPEED", "FSDP"):
        monkeypatch.setenv(f"ACCELERATE_USE_{kind}", str(sharded == kind).lower())
    model_args = ModelConfig(dtype=dtype, use_peft=use_peft)
    assert training_dtype(model_args) == expected
    assert weight_dtype(model_args) == "bfloat16"  # for inference


def test_most_steps_of_adamw_are_lost_on_weights_in_bfloat16():
    import torch

    moved = {}
    for dtype in (torch.float32, torch.bfloat16):
        weight = torch.nn.Parameter(
            (0.03 * torch.randn(10000, generator=torch.Generator().manual_seed(0))).to(dtype)
        )
        before, optimizer = (
            weight.detach().clone(),
            torch.optim.AdamW([weight], lr=2e-5, weight_decay=0.0),
        )
        for _ in range(20):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        moved[dtype] = (weight.detach() != before).float().mean().item()
    assert (
        moved[torch.float32] == 1.0 and moved[torch.bfloat16] < 0.5
    )  # why `training_dtype` is what it is


def test_a_trace_that_does_not_fit_is_left_out_whole(caplog):
    tokenizer = load_tokenizer(SHIPPED)
    short, long = (
        trace("<think>1</think><answer>2</answer>"),
        trace("<think>" + "1" * 90 + "</think><answer>2</answer>"),
    )
    assert drop_long_traces([short, long], tokenizer, 80).to_list() == [short]
    assert "1 of 2 traces are longer than 80 tokens (longest 103)" in caplog.text
    assert len(drop_long_traces([short, long], tokenizer, 103)) == 2
    with pytest.raises(UserError, match="all 1 traces are longer than 80"):
        drop_long_traces([long], tokenizer, 80)


def test_a_template_that_edits_traces_is_refused():
    tokenizer, row = load_tokenizer(SHIPPED), trace("<think>1</think><answer>2</answer>")
    ids = tokenizer("23*7+5=<think>1</think><answer>2</answer><eos>")["input_ids"]
    check_first_target({"labels": [-100] * 7 + ids[7:]}, [row], tokenizer)
    check_first_target(
        {"labels": [*ids[7:], -100, 5], "seq_lengths": [len(ids) - 7, 2]},
        [trace("<think>"), row],
        tokenizer,
    )
    for broken in (
        ids[8:],
        ids[7:-1],
        ids,
    ):  # a token missing, no end of the turn, the question too
        with pytest.raises(UserError, match="chat_template"):
            check_first_target({"labels": broken}, [row], tokenizer)


def test_manifests_hash_what_they_name(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"a")
    before = model_sha256(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"b")
    assert before != model_sha256(tmp_path)
    assert model_sha256("Qwen/Qwen3-0.6B-Base") is None
    write_manifest(
        tmp_path / "manifest.json", "grpo", {"config": {"a": 1}, "inputs": {}}, 0.0, steps=3
    )
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written["steps"] == 3 and written["versions"]["trl"] == "1.16.0"


def test_the_traces_of_a_question_are_held_out_together_and_always_the_same_ones():
    from datasets import Dataset

    rows = [trace("a") | {"prompt": [{"role": "user", "content": str(n % 50)}]} for n in range(200)]
    learnt, held_out = split_by_question(Dataset.from_list(rows), 0.1)
    assert (len(learnt), len(held_out)) == (180, 20)
    questions = {row["prompt"][0]["content"] for row in held_out}
    assert len(questions) == 5 and not questions & {row["prompt"][0]["content"] for row in learnt}
    _, again = split_by_question(Dataset.from_list(rows[::-1]), 0.1)
    assert {row["prompt"][0]["content"] for row in again} == questions
    assert split_by_question(Dataset.from_list(rows), 0.0)[1] is None
    assert (
        split_by_question(Dataset.from_list(rows[:1]), 0.5)[1] is None
    )  # one question cannot be both
    with pytest.raises(UserError, match="write a share"):
        split_by_question(Dataset.from_list(rows), 1.0)
