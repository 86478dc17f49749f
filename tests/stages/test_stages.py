"""The stages, a few steps each, on real small models: what they write, resume and refuse.

`story` runs the real commands; the other tests run the same `main` in this process.
"""

import json
import sys
import time
from pathlib import Path

import pytest

from recipes.core.errors import UserError
from recipes.core.files import read_jsonl
from tests.support.commands import ok, run, stage, stage_here

GRPO = "recipes/arithmetic/grpo.yaml"
GENERATE = "recipes/arithmetic/generate.yaml"
SFT = "recipes/arithmetic/sft.yaml"
EVALUATE = "recipes/arithmetic/evaluate.yaml"
BASE = "recipes/arithmetic/models/base"
STUDENT_BASE = "recipes/arithmetic/models/student_base"

BATCH = ("--per_device_train_batch_size", 32, "--num_generations", 8)
SAMPLES = ("--max_train_samples", 40, "--num_generations", 4)
EVAL_SETS = "[{name: train, dataset_test_split: train, max_eval_samples: 20}]"
QUESTIONS = ("--max_eval_samples", 30, "--eval_sets", EVAL_SETS)


def write_rows(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Path:
    """The whole story on the shipped models by the real commands, two training steps each."""
    out = tmp_path_factory.mktemp("story")
    ok(stage("grpo", GRPO, "--output_dir", out, "--max_steps", 2, *BATCH))
    ok(stage("generate", GENERATE, "--output_dir", out, *SAMPLES))
    ok(stage("sft", SFT, "--output_dir", out, "--max_steps", 2, "--logging_steps", 1))
    models = (f"base={BASE}", "policy", f"student_base={STUDENT_BASE}", "student")
    ok(stage("evaluate", EVALUATE, "--output_dir", out, *QUESTIONS, "--models", *models))
    return out


def test_grpo_writes_an_adapter_that_differs_from_its_start_and_every_rollout(story):
    from safetensors.torch import load_file

    adapter = load_file(story / "policy/adapter_model.safetensors")
    trained = [weight for name, weight in adapter.items() if "lora_B" in name]  # starts at zero
    assert any(weight.abs().max() > 0 for weight in trained)

    rollouts = read_jsonl(story / "rollouts/train.jsonl")
    assert [row["step"] for row in rollouts] == [0] * 32 + [1] * 32
    for row in rollouts:
        assert list(row) == [
            "step", "question_id", "prompt", "completion", "answer", "rewards", "advantage"
        ]  # fmt: skip
        assert set(row["rewards"]) == {"accuracy", "format"}
        a, rest = row["prompt"][-1]["content"].split("*")
        b, c = rest.split("+")
        assert row["answer"] == str(int(a) * int(b) + int(c))
    for start in range(0, 64, 8):  # eight completions of one question, compared with each other
        group = rollouts[start : start + 8]
        assert len({row["question_id"] for row in group}) == 1
        assert sum(row["advantage"] for row in group) == pytest.approx(0, abs=1e-3)


def test_a_question_has_one_identity_in_training_generation_and_evaluation(story):
    from recipes.core.data.questions import question_id

    rollouts = read_jsonl(story / "rollouts/train.jsonl")
    generations = read_jsonl(story / "generations.jsonl")
    completions = read_jsonl(story / "completions/held_out/policy.jsonl")
    for row in generations + completions:
        assert row["question_id"] == question_id(row["question"], row["answer"])
    for row in rollouts:
        question = row["prompt"][-1]["content"]
        assert row["question_id"] == question_id(question, row["answer"])


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("policy/manifest", "grpo"),
        ("generations.manifest", "generate"),
        ("traces.manifest", "generate"),
        ("student/manifest", "sft"),
        ("scores.manifest", "evaluate"),
    ],
)
def test_every_artefact_has_a_manifest(story, file, name):
    manifest = json.loads((story / f"{file}.json").read_text())
    assert (manifest["stage"], manifest["status"]) == (name, "finished")
    assert manifest["config"] and manifest["versions"]["torch"] and manifest["inputs"]


def test_traces_are_the_correct_well_formed_and_finished_samples(story):
    samples = read_jsonl(story / "generations.jsonl")
    assert len({(row["question_id"], row["sample_index"]) for row in samples}) == 160
    assert len(samples) == 160
    traces = read_jsonl(story / "traces.jsonl")
    assert traces
    for row in traces:
        assert row in samples and row["finished"]
        assert row["completion"].endswith(f"</think><answer>{row['answer']}</answer>")
    funnel = json.loads((story / "traces.manifest.json").read_text())["funnel"]
    assert funnel["generated"] == 160 and funnel["kept"] == len(traces)


def test_scores_name_every_model_and_how_it_was_sampled(story):
    document = json.loads((story / "scores.json").read_text())
    assert document["sampling"]["temperature"] == 1.0 and document["sampling"]["seed"] == 42
    scores = document["held_out"]["models"]
    paired = document["held_out"]["paired"]
    assert list(paired) == ["policy - base", "student - student_base", "student - policy"]
    assert all(0 < test["p"] <= 1 and test["n"] == 30 for test in paired.values())
    assert list(scores) == ["base", "policy", "student_base", "student"]
    for name, values in scores.items():
        assert values["accuracy"] <= values["flexible_accuracy"]
        assert values["pass_at"] == {"1": values["accuracy"]}
        assert values["ci95"][0] <= values["accuracy"] <= values["ci95"][1]
        assert values["n"] == values["samples"] == 30
        assert {"format", "accuracy_given_format", "mean_length", "parameters"} <= set(values)

        file = story / f"completions/held_out/{name}.jsonl"
        assert len(read_jsonl(file)) == 30
        manifest = json.loads(file.with_suffix(".manifest.json").read_text())
        assert manifest["model"]["first_prompt"].endswith("=")
        assert manifest["sampling"]["tokens_per_second"] > 0
        assert document["train"]["models"][name]["n"] == 20  # training questions beside them
        assert len(read_jsonl(story / f"completions/train/{name}.jsonl")) == 20


def test_a_second_evaluation_samples_only_what_is_missing(story, caplog, capsys):
    keys = ("--output_dir", story, *QUESTIONS, "--models", "policy", "student")
    names = ("held_out/policy", "held_out/student", "train/policy")
    files = [story / f"completions/{name}.jsonl" for name in names]
    before = [file.read_bytes() for file in files]
    lines = before[0].split(b"\n")
    files[0].write_bytes(b"\n".join(lines[:10]) + b"\n" + lines[10][:20])  # killed while writing
    stage_here("evaluate", EVALUATE, *keys)
    assert [file.read_bytes() for file in files] == before
    scores = (story / "scores.json").read_bytes()
    stage_here("evaluate", EVALUATE, *keys)
    assert (story / "scores.json").read_bytes() == scores

    # With other settings everything is sampled again.
    models = ("--models", "policy", f"again={story}/policy")
    with caplog.at_level("INFO"):
        stage_here("evaluate", EVALUATE, *keys, *models, "--num_generations", 4, "--greedy")
    assert "was sampled with other settings and is sampled again" in caplog.text
    assert "majority of 4" in capsys.readouterr().out
    document = json.loads((story / "scores.json").read_text())["held_out"]
    policy = document["models"]["policy"]
    assert policy | {"model": ""} == document["models"]["again"] | {"model": ""}
    nothing = {"difference": 0.0, "ci95": [0.0, 0.0], "p": 1.0, "n": 30}
    assert document["paired"]["again - policy"] == nothing
    assert list(policy["pass_at"]) == ["1", "2", "4"]
    greedy = read_jsonl(story / "completions/held_out/policy.greedy.jsonl")
    assert len(greedy) == 30
    assert policy["greedy_accuracy"] == sum(row["correct"] for row in greedy) / 30


def test_a_second_generate_samples_only_what_is_missing(story):
    file = story / "generations.jsonl"
    before = file.read_bytes()
    lines = before.split(b"\n")
    file.write_bytes(b"\n".join(lines[:100]) + b"\n" + lines[100][:20])  # killed in row 101
    keys = ("--output_dir", story, *SAMPLES)
    with pytest.raises(UserError, match="holds a run with another"):
        stage_here("generate", GENERATE, *keys, "--model_name_or_path", BASE)
    stage_here("generate", GENERATE, *keys)
    assert file.read_bytes() == before


def test_a_second_grpo_resumes_from_the_checkpoint(story, caplog):
    keys = ("--output_dir", story, "--max_steps", 3, *BATCH)
    with caplog.at_level("INFO"):
        stage_here("grpo", GRPO, *keys)
    assert "resuming from" in caplog.text and "checkpoint-2" in caplog.text
    steps = [row["step"] for row in read_jsonl(story / "rollouts/train.jsonl")]
    assert steps[::32] == [0, 1, 2]
    with pytest.raises(UserError, match="another num_generations"):
        stage_here("grpo", GRPO, *keys, "--num_generations", 4)


def test_without_any_trace_to_keep_generate_and_sft_end_with_the_reason(tmp_path, tiny_models):
    teacher = ("--model_name_or_path", tiny_models / "base", "--max_train_samples", 20)
    with pytest.raises(UserError, match=r"no sample can be kept \(20 generated"):
        stage_here("generate", GENERATE, "--output_dir", tmp_path, *teacher)
    with pytest.raises(UserError, match="there is no file"):
        stage_here("sft", SFT, "--output_dir", tmp_path)


@pytest.mark.parametrize(
    ("keys", "weights"),
    [
        (("--use_peft", "false"), "model.safetensors"),
        (("--load_in_4bit", "true"), "adapter_model.safetensors"),
    ],
    ids=["full", "qlora"],
)
def test_full_fine_tuning_and_qlora_train_and_can_be_evaluated(tmp_path, keys, weights):
    if "--load_in_4bit" in keys:
        pytest.importorskip("bitsandbytes")
    stage_here("grpo", GRPO, "--output_dir", tmp_path, "--max_steps", 1, *BATCH, *keys)
    evaluation = ("--models", "policy", "--max_eval_samples", 4, "--eval_sets", "[]")
    stage_here("evaluate", EVALUATE, "--output_dir", tmp_path, *evaluation)
    assert (tmp_path / "policy" / weights).is_file()


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
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert time.time() - started < 10


TRL_YAML = """
model_name_or_path: recipes/arithmetic/models/base
dataset_name: {folder}/data
reward_funcs: [accuracy_reward, think_format_reward]
reward_weights: [1.0, 0.5]
output_dir: {folder}/out
learning_rate: 1e-5
max_steps: 1
num_generations: 4
max_completion_length: 40
bf16: false
use_peft: true
report_to: none
"""


def test_a_yaml_of_trls_own_scripts_runs_unchanged(tmp_path):
    rows = []
    for n in range(10, 20):
        prompt = [{"role": "user", "content": f"{n}*3+1"}]
        rows.append({"prompt": prompt, "solution": f"${3 * n + 1}$"})
    (tmp_path / "data").mkdir()
    write_rows(tmp_path / "data/train.jsonl", rows)
    (tmp_path / "trl.yaml").write_text(TRL_YAML.format(folder=tmp_path))
    stage_here("grpo", tmp_path / "trl.yaml")
    rollouts = read_jsonl(tmp_path / "out/rollouts/train.jsonl")
    assert set(rollouts[0]["rewards"]) == {"accuracy_reward", "think_format_reward"}
    assert rollouts[0]["prompt"] in [row["prompt"] for row in rows]


def test_own_rewards_in_every_form_train_beside_ours_and_all_are_measured(tmp_path):
    # Answers that only math-verify can read.
    rows = [{"question": f"{n}*3+1", "answer": f"x={3 * n + 1}"} for n in range(10, 20)]
    data = write_rows(tmp_path / "train.jsonl", rows)
    own = "tests.support.user_rewards"
    entries = [
        "accuracy",
        {"name": "length_group", "weight": 0.1},
        f"{own}:longer",
        f"{own}:slow",
        {"name": f"{own}:Ends", "text": "</answer>"},
    ]
    keys = ("--max_steps", 2, *BATCH, "--dataset_name", data, "--logging_steps", 1)
    out = tmp_path / "out"
    stage_here("grpo", GRPO, "--output_dir", out, *keys, "--rewards", json.dumps(entries))

    names = ["accuracy", "length_group", "longer", "slow", "Ends"]
    for row in read_jsonl(out / "rollouts/train.jsonl"):
        assert list(row["rewards"]) == names
        assert row["rewards"]["accuracy"] in (0.0, 1.0)
        assert row["rewards"]["slow"] in (None, 0.5)
    logs = json.loads((out / "policy/trainer_state.json").read_text())["log_history"][:2]
    for log in logs:
        for name in names:
            for key in ("mean", "none", "failed", "timed_out", "seconds"):
                assert f"rewards/{name}/{key}" in log
        assert log["rewards/slow/none"] == 0.5


@pytest.mark.parametrize(
    ("control", "name"), [("random_reward", "random"), ("format_only", "format")]
)
def test_a_control_run_is_the_same_run_with_another_reward_beside_it(tmp_path, control, name):
    keys = ("--output_dir", tmp_path, "--max_steps", 1, *BATCH, "--control", control)
    stage_here("grpo", GRPO, *keys)
    rollouts = read_jsonl(tmp_path / f"control_{control}/rollouts/train.jsonl")
    assert {tuple(row["rewards"]) for row in rollouts} == {(name,)}
    assert (tmp_path / f"control_{control}/policy/adapter_model.safetensors").exists()


def test_a_question_that_the_dataset_asks_twice_is_answered_once(tmp_path):
    questions = ("23*7+5", "23*7+5", "80*2+6")
    rows = [{"question": question, "answer": "166"} for question in questions]
    data = write_rows(tmp_path / "train.jsonl", rows)
    teacher = ("--model_name_or_path", BASE, "--num_generations", 40)
    out = tmp_path / "out"
    stage_here("generate", GENERATE, "--output_dir", out, "--dataset_name", data, *teacher)
    samples = read_jsonl(out / "generations.jsonl")
    assert [row["question"] for row in samples] == ["23*7+5"] * 40 + ["80*2+6"] * 40
