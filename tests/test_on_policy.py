"""On-policy distillation: the other method of `sft`, by key."""

import json
import shutil

import pytest
import yaml

from recipes.core.config import UserError
from recipes.core.on_policy import load
from recipes.sft import SFTArguments
from tests.conftest import stage

SFT, BASE, STUDENT = "recipes/arithmetic/sft.yaml", "recipes/arithmetic/models/base", "recipes/arithmetic/models/student_base"
ON_POLICY = ("--distillation", "on_policy")


def test_the_student_learns_from_its_own_answers_and_goes_on_from_its_checkpoint_but_not_as_another_run(tmp_path, lora_policy):
    from safetensors.torch import load_file

    keys = (*ON_POLICY, "--output_dir", tmp_path, "--logging_steps", 1)
    shutil.copytree(lora_policy, tmp_path / "policy")
    done = stage("sft", SFT, *keys, "--max_steps", 2)
    assert done.returncode == 0, done.stderr[-3000:]
    student, before = (load_file(f"{folder}/model.safetensors") for folder in (tmp_path / "student", STUDENT))
    assert student.keys() == before.keys() and any((student[name] != before[name]).any() for name in before)
    manifest = json.loads((tmp_path / "student/manifest.json").read_text())
    assert (manifest["stage"], manifest["status"], manifest["steps"]) == ("sft", "finished", 2)
    assert manifest["config"]["distillation"] == "on_policy" and set(manifest["inputs"]) == {"dataset", "teacher", "model"}
    logs = json.loads((tmp_path / "student/trainer_state.json").read_text())["log_history"]
    assert logs[0]["loss"] > 0 and 0 < logs[0]["completions/mean_length"] <= 72

    done = stage("sft", SFT, *keys, "--max_steps", 3)
    assert done.returncode == 0 and "going on from" in done.stderr and "checkpoint-2" in done.stderr
    (tmp_path / "traces.jsonl").write_text(json.dumps({"prompt": [{"role": "user", "content": "1*2+3"}], "completion": "5"}) + "\n")
    for other, name in ((("--beta", 0.5, *keys), "beta"), (("--output_dir", tmp_path), "distillation")):
        refused = stage("sft", SFT, *other)
        assert refused.returncode == 2 and "holds a run with another" in refused.stderr and name in refused.stderr


@pytest.fixture
def lora_policy(tmp_path):
    """A teacher as `grpo` leaves it: an adapter, with the tokenizer beside it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "lora"
    model = AutoModelForCausalLM.from_pretrained(BASE)
    get_peft_model(model, LoraConfig(target_modules="all-linear")).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BASE).save_pretrained(folder)
    return folder


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
    for words, message in (
        (("--teacher_model_name_or_path", other), "has another vocabulary than 'recipes/arithmetic/models/student_base'"),
        (("--teacher_model_name_or_path", wide), "outputs"),
        ((), "teacher_model_name_or_path: there is no folder"),
        (("--teacher_model_name_or_path", BASE, "--max_train_samples", 10), "10 questions do not fill one step of 64"),
    ):
        done = stage("sft", SFT, *ON_POLICY, "--output_dir", tmp_path / "out", *words)
        assert done.returncode == 2, done.stderr
        error = done.stderr.splitlines()[-1]
        assert error.startswith("error: ") and message in error and "Traceback" not in done.stderr
        assert not (tmp_path / "out/student").exists()


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ({}, ["--distillation", "sideways"], "distillation is 'sideways'; write one of traces, on_policy"),
        ({}, [*ON_POLICY, "--packing", "true"], "the command line: `packing` is a key of `distillation: traces`"),
        ({}, ["--beta", "0.5"], "the command line: `beta` is a key of `distillation: on_policy`"),
        ({"beta": 0.5}, ON_POLICY, "sft.yaml: `beta` is a key of `distillation: on_policy`; write it under `on_policy:`"),
        (
            {"on_policy": {"packing": True}},
            [],
            "sft.yaml, on_policy: `packing` is a key of `distillation: traces`; write it outside",
        ),
        ({"on_policy": {"bta": 0.5}}, [], "sft.yaml, on_policy: unknown key `bta`; did you mean `beta`?"),
        ({"on_policy": "yes"}, [], "sft.yaml: `on_policy` must hold `key: value` lines, holds str"),
    ],
)
def test_a_key_of_the_other_method_is_refused_in_one_line(tmp_path, values, arguments, message):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({"max_length": 9, "on_policy": {"temperature": 1.0}}))
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump({"extends": "base.yaml"} | values))
    with pytest.raises(UserError) as error:
        load(SFTArguments, ["--config", str(tmp_path / "sft.yaml"), *arguments])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_keys_under_on_policy_win_over_those_outside_and_the_command_line_over_both(tmp_path):
    outside = {"max_length": 9, "learning_rate": 1.0, "seed": 1, "on_policy": {"temperature": 0.5, "beta": 0.1}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(outside))
    inside = {"learning_rate": 2.0, "beta": 0.2}
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump({"extends": "base.yaml", "on_policy": inside}))
    argv = ["--config", str(tmp_path / "sft.yaml")]
    traces = load(SFTArguments, argv)
    assert traces.values == {"max_length": 9, "learning_rate": 1.0, "seed": 1}
    chosen = load(SFTArguments, [*argv, *ON_POLICY, "--beta", "0.3"])
    assert chosen.values == {"learning_rate": 2.0, "seed": 1, "temperature": 0.5, "beta": 0.2}
    assert chosen.arguments == [*ON_POLICY, "--beta", "0.3"]


def test_a_yaml_of_trl_distillation_is_understood(tmp_path):
    values = {"model_name_or_path": STUDENT, "teacher_model_name_or_path": BASE, "dataset_name": "x", "beta": 0.5}
    (tmp_path / "trl.yaml").write_text(yaml.safe_dump(values))
    assert load(SFTArguments, ["--config", str(tmp_path / "trl.yaml"), *ON_POLICY]).values == values
