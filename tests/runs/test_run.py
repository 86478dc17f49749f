"""A training that resumes is one run for its tracker too."""

import json

from tests.support.commands import stage_here


def test_a_resumed_run_is_the_same_run_for_wandb(tmp_path, monkeypatch):
    import wandb

    # No account is needed, and nothing is sent.
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")

    # The run is started, and resumed once.
    keys = (
        *("--output_dir", tmp_path, "--report_to", "wandb", "--save_steps", 1),
        *("--per_device_train_batch_size", 8, "--num_generations", 8),
    )
    for steps in (1, 2):
        # Each start is a new process for wandb: only the manifest can tell it the id.
        monkeypatch.setenv("WANDB_RUN_ID", "")
        monkeypatch.setenv("WANDB_RESUME", "")
        stage_here("grpo", "recipes/arithmetic/grpo.yaml", *keys, "--max_steps", steps)
        wandb.finish()
    first, second = sorted((tmp_path / "wandb").glob("offline-run-*"))
    run_id = json.loads((tmp_path / "policy/manifest.json").read_text())["wandb_run_id"]
    assert first.name.endswith(f"-{run_id}") and second.name.endswith(f"-{run_id}")
