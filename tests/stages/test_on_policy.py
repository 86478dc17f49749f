"""On-policy distillation: the other method of `sft`, by key."""

import json
import shutil

import pytest
import yaml

from recipes.core.errors import UserError
from recipes.on_policy import distil, load
from recipes.sft import SFTArguments
from tests.support.commands import ROOT, stage

SFT, BASE, STUDENT = (
    "recipes/arithmetic/sft.yaml",
    "recipes/arithmetic/models/base",
    "recipes/arithmetic/models/student_base",
)
ON_POLICY = ("--distillation", "on_policy")


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_student_learns_from_its_own_answers_and_goes_on_from_its_checkpoint_but_not_as_another_run(
    tmp_path, caplog
):
    from safetensors.torch import load_file

    leave_policy(tmp_path / "policy")
    keys = (
        *ON_POLICY,
        "--output_dir",
        str(tmp_path),
        "--logging_steps",
        "1",
        "--per_device_train_batch_size",
        "16",
    )
    done = stage("sft", SFT, *keys, "--max_steps", 2)
    assert done.returncode == 0, done.stderr[-3000:]
    student, before = (
        load_file(f"{folder}/model.safetensors") for folder in (tmp_path / "student", STUDENT)
    )
    assert student.keys() == before.keys() and any(
        (student[name] != before[name]).any() for name in before
    )
    manifest = json.loads((tmp_path / "student/manifest.json").read_text())
    assert (manifest["stage"], manifest["status"], manifest["steps"]) == ("sft", "finished", 2)
    assert manifest["config"]["distillation"] == "on_policy" and set(manifest["inputs"]) == {
        "dataset",
        "teacher",
        "model",
    }
    logs = json.loads((tmp_path / "student/trainer_state.json").read_text())["log_history"]
    assert logs[0]["loss"] > 0 and 0 < logs[0]["completions/mean_length"] <= 72

    with caplog.at_level("INFO"):
        distil(load(SFTArguments, ["--config", SFT, *keys, "--max_steps", "3"]), 0.0)
    assert "resuming from" in caplog.text and "checkpoint-2" in caplog.text
    assert json.loads((tmp_path / "student/manifest.json").read_text())["steps"] == 3
    with pytest.raises(UserError, match=r"holds a run with another beta \(beta was 1.0, is 0.5\)"):
        distil(load(SFTArguments, ["--config", SFT, *keys, "--beta", "0.5"]), 0.0)


def leave_policy(folder):
    """A teacher as `grpo` leaves it: an adapter, with the tokenizer beside it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(BASE)
    get_peft_model(model, LoraConfig(target_modules="all-linear")).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BASE).save_pretrained(folder)


def test_a_teacher_that_cannot_teach_this_student_is_refused_in_one_line(tmp_path):
    other = tmp_path / "other"
    shutil.copytree(BASE, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["1"], vocabulary["2"] = vocabulary["2"], vocabulary["1"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    wide = tmp_path / "wide"
    shutil.copytree(BASE, wide)
    config = json.loads((wide / "config.json").read_text())
    (wide / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 1}))
    out = ("--output_dir", str(tmp_path / "out"))
    for words, message in (
        (
            ("--teacher_model_name_or_path", str(wide)),
            "has 21 outputs, 'recipes/arithmetic/models/student_base' has 20",
        ),
        ((), "teacher_model_name_or_path: there is no folder"),
        (
            ("--teacher_model_name_or_path", BASE, "--max_train_samples", "10"),
            "10 questions do not fill one step of 64",
        ),
    ):
        with pytest.raises(UserError, match=message):
            distil(load(SFTArguments, ["--config", SFT, *ON_POLICY, *out, *words]), 0.0)
    done = stage("sft", SFT, *ON_POLICY, *out, "--teacher_model_name_or_path", other)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: teacher_model_name_or_path: ")
    assert "has another vocabulary than 'recipes/arithmetic/models/student_base' (token" in error
    assert not (tmp_path / "out/student").exists()


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        (
            {},
            ["--distillation", "sideways"],
            "distillation is 'sideways'; write one of traces, on_policy",
        ),
        (
            {},
            [*ON_POLICY, "--packing", "true"],
            "the command line: `packing` is a key of `distillation: traces`",
        ),
        ({}, ["--beta", "0.5"], "the command line: `beta` is a key of `distillation: on_policy`"),
        (
            {"beta": 0.5},
            ON_POLICY,
            "sft.yaml: `beta` is a key of `distillation: on_policy`; write it under `on_policy:`",
        ),
        (
            {"on_policy": {"packing": True}},
            [],
            "sft.yaml, on_policy: `packing` is a key of `distillation: traces`; write it outside",
        ),
        (
            {"on_policy": {"bta": 0.5}},
            [],
            "sft.yaml, on_policy: unknown key `bta`; did you mean `beta`?",
        ),
        ({"on_policy": "yes"}, [], "sft.yaml: `on_policy` must hold `key: value` lines, holds str"),
    ],
)
def test_a_key_of_the_other_method_is_refused_in_one_line(tmp_path, values, arguments, message):
    (tmp_path / "base.yaml").write_text(
        yaml.safe_dump({"max_length": 9, "on_policy": {"temperature": 1.0}})
    )
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump({"extends": "base.yaml"} | values))
    with pytest.raises(UserError) as error:
        load(SFTArguments, ["--config", str(tmp_path / "sft.yaml"), *arguments])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_keys_under_on_policy_win_over_those_outside_and_the_command_line_over_both(tmp_path):
    outside = {
        "max_length": 9,
        "learning_rate": 1.0,
        "seed": 1,
        "on_policy": {"temperature": 0.5, "beta": 0.1},
    }
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(outside))
    inside = {"learning_rate": 2.0, "beta": 0.2}
    (tmp_path / "sft.yaml").write_text(
        yaml.safe_dump({"extends": "base.yaml", "on_policy": inside})
    )
    argv = ["--config", str(tmp_path / "sft.yaml")]
    traces = load(SFTArguments, argv)
    assert traces.values == {"max_length": 9, "learning_rate": 1.0, "seed": 1}
    chosen = load(SFTArguments, [*argv, *ON_POLICY, "--beta", "0.3"])
    assert chosen.values == {"learning_rate": 2.0, "seed": 1, "temperature": 0.5, "beta": 0.2}
    assert chosen.arguments == [*ON_POLICY, "--beta", "0.3"]


def test_a_yaml_of_trl_distillation_is_understood(tmp_path):
    values = {
        "model_name_or_path": STUDENT,
        "teacher_model_name_or_path": BASE,
        "dataset_name": "x",
        "beta": 0.5,
    }
    (tmp_path / "trl.yaml").write_text(yaml.safe_dump(values))
    assert load(SFTArguments, ["--config", str(tmp_path / "trl.yaml"), *ON_POLICY]).values == values


def test_what_trl_computes_past_the_models_forward_pass_is_cast_as_that_is(monkeypatch):
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from trl import DistillationTrainer, GRPOTrainer

    from recipes.core.training.grpo_trainer import RecipeGRPOTrainer
    from recipes.core.training.trainers import RecipeDistillationTrainer

    def is_cast(self, *args):
        return torch.is_autocast_enabled("cpu")

    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        for ours, theirs, name in (
            (RecipeDistillationTrainer, DistillationTrainer, "_compute_loss"),
            (
                RecipeDistillationTrainer,
                DistillationTrainer,
                "_generate_single_turn",
            ),  # or each token casts all weights
            (RecipeGRPOTrainer, GRPOTrainer, "_generate_single_turn"),
        ):
            monkeypatch.setattr(theirs, name, is_cast)
            trainer = ours.__new__(ours)
            trainer.accelerator, trainer.model = accelerator, torch.nn.Linear(1, 1)
            assert getattr(trainer, name)() and not is_cast(trainer)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
