"""The real commands, a few steps each, on real small models: what they leave, what they survive, what they refuse."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from recipes.core.files import read_jsonl
from tests.support.commands import ok, run, stage

GRPO, GENERATE, SFT, EVALUATE = (
    f"recipes/arithmetic/{name}.yaml" for name in ("grpo", "generate", "sft", "evaluate")
)
STORY = pytest.mark.xdist_group("story")  # they share one run, and the last ones change it
TRAIN_TOO = ("--eval_sets", "[{name: train, dataset_test_split: train, max_eval_samples: 20}]")
BATCH = ("--per_device_train_batch_size", 32, "--num_generations", 8)


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Path:
    """The whole story on the shipped models, two steps of training each."""
    out = tmp_path_factory.mktemp("story")
    ok(stage("grpo", GRPO, "--output_dir", out, "--max_steps", 2, *BATCH))
    ok(
        stage(
            "generate",
            GENERATE,
            "--output_dir",
            out,
            "--max_train_samples",
            40,
            "--num_generations",
            4,
        )
    )
    ok(stage("sft", SFT, "--output_dir", out, "--max_steps", 2, "--logging_steps", 1))
    chosen = (
        "base=recipes/arithmetic/models/base",
        "policy",
        "student_base=recipes/arithmetic/models/student_base",
        "student",
    )
    ok(
        stage(
            "evaluate",
            EVALUATE,
            "--output_dir",
            out,
            "--max_eval_samples",
            30,
            *TRAIN_TOO,
            "--models",
            *chosen,
        )
    )
    return out


@STORY
def test_grpo_leaves_an_adapter_that_differs_from_its_start_and_every_rollout(story):
    from safetensors.torch import load_file

    adapter = load_file(story / "policy/adapter_model.safetensors")
    assert any(
        "lora_B" in name and weight.abs().max() > 0 for name, weight in adapter.items()
    )  # B starts at zero
    rollouts = read_jsonl(story / "rollouts/train.jsonl")
    assert [row["step"] for row in rollouts] == [0] * 32 + [1] * 32
    for row in rollouts:
        assert set(row) == {"step", "prompt", "completion", "answer", "rewards", "advantage"}
        assert set(row["rewards"]) == {"accuracy", "format"}
        a, rest = row["prompt"][-1]["content"].split("*")
        b, c = rest.split("+")
        assert row["answer"] == str(int(a) * int(b) + int(c))
    for start in range(0, 64, 8):  # eight completions of one question, compared with each other
        group = rollouts[start : start + 8]
        assert len({row["answer"] for row in group}) == 1
        assert sum(row["advantage"] for row in group) == pytest.approx(0, abs=1e-3)


@STORY
def test_every_artefact_has_a_manifest(story):
    for file, name in (
        ("policy/manifest", "grpo"),
        ("generations.manifest", "generate"),
        ("traces.manifest", "generate"),
        ("student/manifest", "sft"),
        ("scores.manifest", "evaluate"),
    ):
        manifest = json.loads((story / f"{file}.json").read_text())
        assert (manifest["stage"], manifest["status"]) == (name, "finished")
        assert manifest["config"] and manifest["versions"]["torch"] and manifest["inputs"]


@STORY
def test_traces_are_the_right_well_formed_and_finished_generations(story):
    rows = read_jsonl(story / "generations.jsonl")
    assert len({(row["question_id"], row["sample_index"]) for row in rows}) == len(rows) == 160
    traces = read_jsonl(story / "traces.jsonl")
    assert traces
    for row in traces:
        assert (
            row in rows
            and row["finished"]
            and row["completion"].endswith(f"</think><answer>{row['answer']}</answer>")
        )
    funnel = json.loads((story / "traces.manifest.json").read_text())["funnel"]
    assert funnel["generated"] == 160 and funnel["kept"] == len(traces)


@STORY
def test_scores_name_every_model_and_how_it_was_sampled(story):
    document = json.loads((story / "scores.json").read_text())
    assert document["sampling"]["temperature"] == 1.0 and document["sampling"]["seed"] == 42
    scores, paired = document["held_out"]["models"], document["held_out"]["paired"]
    assert list(paired) == ["policy - base", "student_base - policy", "student - student_base"]
    assert all(0 < test["p"] <= 1 and test["n"] == 30 for test in paired.values())
    assert list(scores) == ["base", "policy", "student_base", "student"]
    for name, values in scores.items():
        assert {
            "accuracy",
            "format",
            "accuracy_given_format",
            "n",
            "ci95",
            "mean_length",
            "samples",
        } <= set(values)
        assert values["accuracy"] <= values["flexible_accuracy"] and values["pass_at"] == {
            "1": values["accuracy"]
        }
        assert values["n"] == 30 and values["ci95"][0] <= values["accuracy"] <= values["ci95"][1]
        assert len(read_jsonl(story / f"completions/held_out/{name}.jsonl")) == 30
        about = json.loads((story / f"completions/held_out/{name}.manifest.json").read_text())
        assert (
            about["model"]["first_prompt"].endswith("=")
            and about["sampling"]["tokens_per_second"] > 0
        )
        train = document["train"]["models"][name]  # as many training questions beside them
        assert train["n"] == 20 and len(read_jsonl(story / f"completions/train/{name}.jsonl")) == 20


@STORY
def test_a_second_evaluation_draws_only_what_is_missing_and_ends_with_the_same_file(story):
    keys = (
        "--output_dir",
        story,
        "--max_eval_samples",
        30,
        *TRAIN_TOO,
        "--models",
        "policy",
        "student",
    )
    files = [
        story / f"completions/{name}.jsonl"
        for name in ("held_out/policy", "held_out/student", "train/policy")
    ]
    before = [file.read_bytes() for file in files]
    lines = before[0].split(b"\n")
    files[0].write_bytes(b"\n".join(lines[:10]) + b"\n" + lines[10][:20])  # killed while writing
    ok(stage("evaluate", EVALUATE, *keys))
    assert [file.read_bytes() for file in files] == before
    scores = (story / "scores.json").read_bytes()
    ok(stage("evaluate", EVALUATE, *keys))
    assert (story / "scores.json").read_bytes() == scores
    done = ok(
        stage(
            "evaluate",
            EVALUATE,
            *keys,
            "--models",
            "policy",
            f"again={story}/policy",
            "--num_generations",
            4,
            "--greedy",
        )
    )
    assert "was sampled with other settings and is sampled again" in done.stderr
    document = json.loads((story / "scores.json").read_text())["held_out"]
    assert document["models"]["policy"] | {"model": ""} == document["models"]["again"] | {
        "model": ""
    }
    assert document["paired"]["again - policy"] == {
        "difference": 0.0,
        "ci95": [0.0, 0.0],
        "p": 1.0,
        "n": 30,
    }
    assert (
        list(document["models"]["policy"]["pass_at"]) == ["1", "2", "4"]
        and "majority of 4" in done.stdout
    )
    greedy = read_jsonl(story / "completions/held_out/policy.greedy.jsonl")
    assert len(greedy) == 30
    assert (
        document["models"]["policy"]["greedy_accuracy"]
        == sum(row["correct"] for row in greedy) / 30
    )


@STORY
def test_a_second_generate_does_only_what_is_missing(story):
    before = (story / "generations.jsonl").read_bytes()
    lines = before.split(b"\n")
    (story / "generations.jsonl").write_bytes(
        b"\n".join(lines[:100]) + b"\n" + lines[100][:20]
    )  # killed while writing row 101
    os.utime(story / "generations.jsonl")
    teacher = ("--model_name_or_path", "recipes/arithmetic/models/base")
    refused = stage(
        "generate",
        GENERATE,
        "--output_dir",
        story,
        "--max_train_samples",
        40,
        "--num_generations",
        4,
        *teacher,
    )
    assert refused.returncode == 2 and "another" in refused.stderr
    ok(
        stage(
            "generate",
            GENERATE,
            "--output_dir",
            story,
            "--max_train_samples",
            40,
            "--num_generations",
            4,
        )
    )
    assert (story / "generations.jsonl").read_bytes() == before


@STORY
def test_a_second_grpo_goes_on_from_the_checkpoint(story):
    done = ok(stage("grpo", GRPO, "--output_dir", story, "--max_steps", 3, *BATCH))
    assert "resuming from" in done.stderr and "checkpoint-2" in done.stderr
    assert [row["step"] for row in read_jsonl(story / "rollouts/train.jsonl")][::32] == [0, 1, 2]
    changed = stage(
        "grpo",
        GRPO,
        "--output_dir",
        story,
        "--max_steps",
        3,
        "--num_generations",
        4,
        "--per_device_train_batch_size",
        32,
    )
    assert changed.returncode == 2 and "another num_generations" in changed.stderr


def test_no_trace_kept_is_a_message_and_an_error_not_an_empty_student(tmp_path, tiny_models):
    done = stage(
        "generate",
        GENERATE,
        "--output_dir",
        tmp_path,
        "--max_train_samples",
        20,
        "--model_name_or_path",
        tiny_models / "base",
    )
    assert done.returncode == 2
    assert (
        "no generation can be kept (20 generated" in done.stderr and "Traceback" not in done.stderr
    )
    done = stage("sft", SFT, "--output_dir", tmp_path)
    assert done.returncode == 2 and "there is no file" in done.stderr


def test_full_fine_tuning_and_qlora_train_and_can_be_evaluated(tmp_path, tiny_models):
    for name, keys in (("full", ("--use_peft", "false")), ("qlora", ("--load_in_4bit", "true"))):
        if name == "qlora":
            pytest.importorskip("bitsandbytes")
        out = tmp_path / name
        ok(stage("grpo", GRPO, "--output_dir", out, "--max_steps", 1, *BATCH, *keys))
        ok(
            stage(
                "evaluate",
                EVALUATE,
                "--output_dir",
                out,
                "--models",
                "policy",
                "--max_eval_samples",
                4,
            )
        )
        assert (
            out
            / "policy"
            / ("model.safetensors" if name == "full" else "adapter_model.safetensors")
        ).is_file()


MISTAKES = {
    "misspelt key": (["--lerning_rate", "1"], "did you mean `learning_rate`?"),
    "no such reward": (["--rewards", "[{name: acuracy}]"], "did you mean 'accuracy'?"),
    "rewards that are no YAML": (["--rewards", "[{name: accuracy"], "`rewards` is not valid YAML"),
    "no such dataset": (
        ["--dataset_name", "./nowhere.jsonl"],
        "there is no file or folder './nowhere.jsonl'",
    ),
    "no such model": (["--model_name_or_path", "./nowhere"], "there is no folder './nowhere'"),
    "no such column": (
        ["--question_column", "problem"],
        "no column 'problem'; there are: question, answer",
    ),
    "indivisible batch": (
        ["--num_generations", "7"],
        "num_generations 7 does not divide the batch of 128 completions",
    ),
    "no such config": (
        ["--config", "recipes/arithmetic/grop.yaml"],
        "recipes/arithmetic/grop.yaml: cannot be read",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_readable_line_within_ten_seconds(name, tmp_path):
    words, message = MISTAKES[name]
    config = [] if "--config" in words else ["--config", GRPO]
    started = time.time()
    done = run(sys.executable, "recipes/grpo.py", *config, *words, "--output_dir", tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert time.time() - started < 10


def test_a_yaml_of_trls_own_scripts_runs_unchanged(tmp_path):
    rows = [
        {"prompt": [{"role": "user", "content": f"{n}*3+1"}], "solution": f"${3 * n + 1}$"}
        for n in range(10, 20)
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "trl.yaml").write_text(
        f"""
model_name_or_path: recipes/arithmetic/models/base
dataset_name: {tmp_path}/data
reward_funcs: [accuracy_reward, think_format_reward]
reward_weights: [1.0, 0.5]
output_dir: {tmp_path}/out
learning_rate: 1e-5
max_steps: 1
num_generations: 4
max_completion_length: 40
bf16: false
use_peft: true
report_to: none
"""
    )
    ok(stage("grpo", tmp_path / "trl.yaml"))
    rollouts = read_jsonl(tmp_path / "out/rollouts/train.jsonl")
    assert set(rollouts[0]["rewards"]) == {"accuracy_reward", "think_format_reward"}
    assert rollouts[0]["prompt"] in [row["prompt"] for row in rows]


def test_own_rewards_in_every_form_train_beside_ours_and_all_are_measured(tmp_path):
    rows = [
        {"question": f"{n}*3+1", "answer": f"x={3 * n + 1}"} for n in range(10, 20)
    ]  # answers that math-verify has to read
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    entries = ["accuracy", {"name": "length_group", "weight": 0.1}, "tests.support.user_rewards:longer", "tests.support.user_rewards:slow",
               {"name": "tests.support.user_rewards:Ends", "text": "</answer>"}]  # fmt: skip
    names = ["accuracy", "length_group", "longer", "slow", "Ends"]
    ok(stage("grpo", GRPO, "--output_dir", tmp_path / "out", "--max_steps", 2, *BATCH, "--dataset_name", tmp_path / "train.jsonl",
             "--rewards", json.dumps(entries), "--logging_steps", 1))  # fmt: skip
    for row in read_jsonl(tmp_path / "out/rollouts/train.jsonl"):
        assert list(row["rewards"]) == names
        assert row["rewards"]["accuracy"] in (0.0, 1.0) and row["rewards"]["slow"] in (None, 0.5)
    logs = json.loads((tmp_path / "out/policy/trainer_state.json").read_text())["log_history"][:2]
    for log in logs:
        for name in names:
            assert {
                f"rewards/{name}/{key}"
                for key in ("mean", "none", "failed", "timed_out", "seconds")
            } <= set(log)
        assert log["rewards/slow/none"] == 0.5


def test_a_control_run_is_the_same_run_with_another_reward_beside_it(tmp_path):
    for control, name in (("random_reward", "random"), ("format_only", "format")):
        ok(
            stage(
                "grpo",
                GRPO,
                "--output_dir",
                tmp_path,
                "--max_steps",
                1,
                *BATCH,
                "--control",
                control,
            )
        )
        rollouts = read_jsonl(tmp_path / f"control_{control}/rollouts/train.jsonl")
        assert {tuple(row["rewards"]) for row in rollouts} == {(name,)}
        assert (tmp_path / f"control_{control}/policy/adapter_model.safetensors").exists()


def test_a_question_that_the_dataset_asks_twice_is_answered_once(tmp_path):
    rows = [{"question": question, "answer": "166"} for question in ("23*7+5", "23*7+5", "80*2+6")]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    teacher = ("--model_name_or_path", "recipes/arithmetic/models/base", "--num_generations", 40)
    ok(
        stage(
            "generate",
            GENERATE,
            "--output_dir",
            tmp_path / "out",
            "--dataset_name",
            tmp_path / "train.jsonl",
            *teacher,
        )
    )
    traces = read_jsonl(tmp_path / "out/generations.jsonl")
    assert [row["question"] for row in traces] == ["23*7+5"] * 40 + ["80*2+6"] * 40
