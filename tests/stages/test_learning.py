"""That a run learns, not only that it runs; this takes minutes."""

import json
import sys

import pytest

from tests.support.commands import ok, run, stage
from tests.support.widen_heads import widen

ARITHMETIC = "recipes/arithmetic"


def scores(base, folder):
    """Held-out scores of `base` and of the policy trained from it; `pytest -s` shows the table."""
    done = ok(
        stage(
            "evaluate",
            f"{ARITHMETIC}/evaluate.yaml",
            "--output_dir",
            folder,
            "--models",
            f"base={base}",
            "policy",
        )
    )
    sys.stdout.write(done.stdout)
    return json.loads((folder / "scores.json").read_text())["held_out"]["models"]


@pytest.mark.slow
def test_grpo_learns_through_a_base_model_in_four_bits(tmp_path):
    pytest.importorskip("bitsandbytes")
    ok(
        stage("grpo", f"{ARITHMETIC}/grpo.yaml", "--output_dir", tmp_path, "--load_in_4bit")
    )  # NF4, double quantisation
    found = scores(f"{ARITHMETIC}/models/base", tmp_path)
    assert (
        found["policy"]["ci95"][0] > 0.6 > found["base"]["ci95"][1]
    )  # 0.124 before; 0.92 without quantisation


@pytest.mark.vllm
def test_grpo_learns_from_what_vllm_samples(tmp_path):
    base = widen(f"{ARITHMETIC}/models/base", tmp_path / "base")
    words = ("--accelerate", "cpu", "--vllm", "colocate", "--vllm_max_model_length", 128)
    keys = ("--output_dir", tmp_path, "--model_name_or_path", base)
    ok(
        run(
            "bash",
            "launch.sh",
            "grpo",
            f"{ARITHMETIC}/grpo.yaml",
            *words,
            *keys,
            VLLM_CPU_KVCACHE_SPACE="1",
        )
    )
    found = scores(base, tmp_path)
    assert found["policy"]["ci95"][0] > 0.85 > found["base"]["ci95"][1]  # 0.92 with transformers
