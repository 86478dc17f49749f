"""The same command again: what is finished stays, what could not learn is no success."""

import json
import os
import signal
import subprocess
import sys

import pytest

from recipes.core.errors import UserError
from recipes.core.files import read_jsonl, write_json
from tests.support.commands import ROOT, largest_difference, stage_here, weights

GRPO = "recipes/arithmetic/grpo.yaml"
GENERATE = "recipes/arithmetic/generate.yaml"
SFT = "recipes/arithmetic/sft.yaml"
BATCH = ("--per_device_train_batch_size", 32, "--num_generations", 8)


def contents(folder):
    """Every file with its bytes and the time of its last change."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def status(out, name="policy"):
    return json.loads((out / name / "manifest.json").read_text())["status"]


@pytest.mark.parametrize("saving", [(), ("--save_strategy", "no")], ids=["saved", "unsaved"])
def test_a_finished_run_is_finished_and_nothing_is_touched(tmp_path, caplog, saving):
    keys = ("--output_dir", tmp_path, *BATCH, "--max_steps", 2, *saving)
    stage_here("grpo", GRPO, *keys)
    before = contents(tmp_path)
    with caplog.at_level("INFO"):
        stage_here("grpo", GRPO, *keys)
        # What the stage shows or saves does not make it another run.
        stage_here("grpo", GRPO, *keys, "--logging_steps", 1, "--save_total_limit", 2)
    assert caplog.text.count("policy: is already finished (status: finished; steps: 2)") == 2
    assert contents(tmp_path) == before

    if saving:
        return
    # The policy is the one that the samples come from, so that the next stage goes on.
    samples = ("--max_train_samples", 20, "--output_dir", tmp_path)
    stage_here("generate", GENERATE, *samples)
    stage_here("grpo", GRPO, *keys)
    stage_here("generate", GENERATE, *samples)

    # From scratch only if it is asked for, in a YAML, too.
    caplog.clear()
    yaml = tmp_path / "again.yaml"
    recipes = ROOT / "recipes"
    extended = [f"{recipes}/defaults/grpo.yaml", f"{recipes}/arithmetic/data.yaml"]
    own = (ROOT / GRPO).read_text().partition("extends")[2].partition("\n")[2]
    yaml.write_text(f"extends: {extended}\n{own}\nresume_from_checkpoint: false\n")
    stage_here("grpo", yaml, *keys)
    assert "already finished" not in caplog.text
    assert [row["step"] for row in read_jsonl(tmp_path / "rollouts/train.jsonl")][::32] == [0, 1]


def test_a_finished_student_is_finished(tmp_path, traces, caplog):
    keys = ("--output_dir", tmp_path, "--traces", traces, "--max_steps", 2)
    stage_here("sft", SFT, *keys)
    before = contents(tmp_path)
    with caplog.at_level("INFO"):
        stage_here("sft", SFT, *keys)
    assert "student: is already finished" in caplog.text
    assert contents(tmp_path) == before


def test_a_run_that_was_killed_after_its_last_step_trains_no_further_one(tmp_path):
    keys = ("--output_dir", tmp_path, *BATCH, "--max_steps", 2)
    stage_here("grpo", GRPO, *keys)
    expected = weights(tmp_path / "policy")
    # The last checkpoint is whole, the model is not written yet.
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (tmp_path / "policy" / name).unlink()
    manifest = json.loads((tmp_path / "policy/manifest.json").read_text())
    write_json(tmp_path / "policy/manifest.json", manifest | {"status": "running"})
    stage_here("grpo", GRPO, *keys)
    assert largest_difference(weights(tmp_path / "policy"), expected) == 0
    assert [row["step"] for row in read_jsonl(tmp_path / "rollouts/train.jsonl")][::32] == [0, 1]
    assert status(tmp_path) == "finished"


def test_a_second_run_in_the_folder_is_refused_while_the_first_one_is_there(tmp_path):
    command = [sys.executable, "recipes/grpo.py", "--config", GRPO, *BATCH]
    command += ["--output_dir", tmp_path, "--max_steps", 1000]
    first = subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in first.stderr:
        if "grpo: trains" in line:
            break
    try:
        for keys in ((), ("--resume_from_checkpoint", "false")):
            with pytest.raises(UserError, match=rf"another run writes .* {first.pid} on"):
                stage_here("grpo", GRPO, "--output_dir", tmp_path, *BATCH, *keys)
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=60)
    # It was killed, and its lock is taken over.
    assert (tmp_path / "policy.lock").exists()
    stage_here("grpo", GRPO, "--output_dir", tmp_path, *BATCH, "--max_steps", 1)
    assert status(tmp_path) == "finished"
    assert not (tmp_path / "policy.lock").exists()


def test_a_run_that_learnt_nothing_says_why_and_is_no_success(tmp_path, caplog):
    # No completion can have this format within two tokens.
    keys = ("--output_dir", tmp_path, *BATCH, "--max_steps", 2, "--max_completion_length", 2)
    stage_here("grpo", GRPO, *keys)
    cause = "every completion is truncated; write a larger max_completion_length"
    assert f"nothing was learnt in the whole run: {cause}" in caplog.text
    assert status(tmp_path) == "learnt nothing"
    # It is finished all the same.
    with caplog.at_level("INFO"):
        stage_here("grpo", GRPO, *keys)
    assert "is already finished (status: learnt nothing; steps: 2)" in caplog.text


def test_a_resumed_run_remembers_what_it_has_learnt(tmp_path, caplog):
    keys = ("--output_dir", tmp_path, *BATCH, "--resume_despite_changes", "true")
    stage_here("grpo", GRPO, *keys, "--max_steps", 1)
    assert status(tmp_path) == "finished"
    stage_here("grpo", GRPO, *keys, "--max_steps", 2, "--max_completion_length", 2)
    assert status(tmp_path) == "finished"
    assert "nothing was learnt" not in caplog.text


def test_golds_that_no_reward_can_read_are_told(tmp_path, caplog):
    data = tmp_path / "train.jsonl"
    lines = [json.dumps({"question": f"{n}*3+1", "answer": "$$"}) for n in range(10, 20)]
    data.write_text("\n".join(lines) + "\n")
    keys = ("--dataset_name", data, "--max_steps", 1, *BATCH, "--output_dir", tmp_path / "out")
    stage_here("grpo", GRPO, *keys)
    assert "the reward accuracy could score no completion" in caplog.text
    assert status(tmp_path / "out") == "learnt nothing"
