"""On-policy distillation: the student learns from its own answers, taught by a teacher's tokens."""

import json
import shutil

import pytest
import yaml

from recipes.core.config import load_config
from recipes.core.errors import UserError
from recipes.on_policy import STAGE
from tests.support.commands import stage, stage_here

ON_POLICY = "recipes/arithmetic/on_policy.yaml"
BASE = "recipes/arithmetic/models/base"
STUDENT = "recipes/arithmetic/models/student_base"


def save_policy(folder):
    """A teacher as `grpo` writes it: an adapter, with the tokenizer beside it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(BASE)
    get_peft_model(model, LoraConfig(target_modules="all-linear")).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BASE).save_pretrained(folder)


def test_the_student_learns_from_its_own_answers_and_resumes_but_not_as_another_run(
    tmp_path, caplog
):
    from safetensors.torch import load_file

    save_policy(tmp_path / "policy")
    keys = ("--output_dir", tmp_path, "--logging_steps", 1, "--per_device_train_batch_size", 16)
    done = stage("on_policy", ON_POLICY, *keys, "--max_steps", 2)
    assert done.returncode == 0, done.stderr[-3000:]

    student = load_file(tmp_path / "student/model.safetensors")
    before = load_file(f"{STUDENT}/model.safetensors")
    assert student.keys() == before.keys()
    assert any((student[name] != before[name]).any() for name in before)
    manifest = json.loads((tmp_path / "student/manifest.json").read_text())
    assert manifest["stage"] == "on_policy"
    assert (manifest["status"], manifest["steps"]) == ("finished", 2)
    assert set(manifest["inputs"]) == {"dataset", "teacher", "model"}
    logs = json.loads((tmp_path / "student/trainer_state.json").read_text())["log_history"]
    assert logs[0]["loss"] > 0 and 0 < logs[0]["completions/mean_length"] <= 72

    with caplog.at_level("INFO"):
        stage_here("on_policy", ON_POLICY, *keys, "--max_steps", 3)
    assert "resuming from" in caplog.text and "checkpoint-2" in caplog.text
    assert json.loads((tmp_path / "student/manifest.json").read_text())["steps"] == 3
    with pytest.raises(UserError, match=r"holds a run with another beta \(beta was 1.0, is 0.5\)"):
        stage_here("on_policy", ON_POLICY, *keys, "--beta", 0.5)


@pytest.fixture
def other_vocabulary(tmp_path):
    """A model whose tokens 1 and 2 are swapped."""
    folder = tmp_path / "other"
    shutil.copytree(BASE, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["1"], vocabulary["2"] = vocabulary["2"], vocabulary["1"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture
def one_output_more(tmp_path):
    """A model with one output more than its tokenizer has tokens."""
    folder = tmp_path / "wide"
    shutil.copytree(BASE, folder)
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_teacher_that_cannot_teach_this_student_is_refused_in_one_line(
    tmp_path, other_vocabulary, one_output_more
):
    out = ("--output_dir", tmp_path / "out")
    teacher = "--teacher_model_name_or_path"
    for words, message in (
        ((teacher, one_output_more), f"has 21 outputs, '{STUDENT}' has 20"),
        ((), "teacher_model_name_or_path: there is no folder"),
        (
            (teacher, BASE, "--max_train_samples", 10),
            "a step needs 64 .* there are 10",
        ),
    ):
        with pytest.raises(UserError, match=message):
            stage_here("on_policy", ON_POLICY, *out, *words)
    done = stage("on_policy", ON_POLICY, *out, teacher, other_vocabulary)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: teacher_model_name_or_path: ")
    assert f"has another vocabulary than '{STUDENT}' (token" in error
    assert not (tmp_path / "out/student").exists()


def test_a_yaml_of_trl_distillation_is_understood(tmp_path):
    values = {
        "model_name_or_path": STUDENT,
        "teacher_model_name_or_path": BASE,
        "dataset_name": "x",
        "beta": 0.5,
    }
    file = tmp_path / "trl.yaml"
    file.write_text(yaml.safe_dump(values))
    assert load_config(STAGE, ["--config", str(file)]).keys.values == values


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("packing", "unknown key `packing`"),  # a key of sft
        ("traces", "unknown key `traces`"),  # another one
        ("bta", "unknown key `bta`; did you mean `beta`?"),
    ],
)
def test_a_key_of_another_stage_is_refused(tmp_path, key, message):
    file = tmp_path / "on_policy.yaml"
    file.write_text(yaml.safe_dump({key: 1}))
    with pytest.raises(UserError) as error:
        load_config(STAGE, ["--config", str(file)])
    assert message in str(error.value)


def test_what_trl_computes_outside_the_forward_pass_is_cast_like_the_forward_pass(monkeypatch):
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from trl import DistillationTrainer, GRPOTrainer

    from recipes.core.training import RecipeDistillationTrainer
    from recipes.core.training.autocast import AutocastGeneration

    # Without the other mixins of RecipeGRPOTrainer, which look at what is sampled.
    class CastingGRPOTrainer(AutocastGeneration, GRPOTrainer):
        pass

    def is_cast(self, *args):
        return torch.is_autocast_enabled("cpu")

    cases = (
        (RecipeDistillationTrainer, DistillationTrainer, "_compute_loss"),
        (RecipeDistillationTrainer, DistillationTrainer, "_generate_single_turn"),
        (CastingGRPOTrainer, GRPOTrainer, "_generate_single_turn"),  # or each token casts weights
    )
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        for ours, theirs, name in cases:
            monkeypatch.setattr(theirs, name, is_cast)
            trainer = ours.__new__(ours)
            trainer.accelerator = accelerator
            trainer.model = torch.nn.Linear(1, 1)
            assert getattr(trainer, name)() and not is_cast(trainer)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
