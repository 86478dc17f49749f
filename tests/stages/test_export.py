"""Models exported to transformers' pipeline, vLLM and lm-evaluation-harness answer as they do here.

`pytest -m vllm` needs the package vllm (tests/generation/test_vllm_sampler.py says how to install
it on a CPU). `pytest -m lm_eval` needs `pip install lm_eval==0.4.13` in an environment that has
requirements.txt already, so that torch stays.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from recipes.arithmetic.dataset import questions
from recipes.core.files import append_jsonl
from tests.support.commands import ROOT, ok, run, stage
from tests.support.widen_heads import widen

ARITHMETIC = ROOT / "recipes/arithmetic"
BASE = ARITHMETIC / "models/base"
TASK = """
task: small_arithmetic
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: [], do_sample: false, max_gen_toks: 72}}
filter_list:
  - name: answer
    filter:
      - {{function: regex, regex_pattern: "^<think>.+</think><answer>(.+)</answer>$"}}
      - {{function: take_first}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


SFT_KEYS = ["--max_steps", "6", "--per_device_train_batch_size", "32", "--learning_rate", "1e-3"]
GRPO_KEYS = ["--max_steps", "2", "--per_device_train_batch_size", "32", "--learning_rate", "5e-3"]
GRPO_KEYS += ["--num_generations", "8"]


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """The folder of a run, with a barely trained `student/` and a `policy/`.

    The student starts from a base that can do the sums, with heads of a size that vLLM supports. So
    few steps leave it often wrong. The policy is an adapter whose base is a relative path.
    """
    out = tmp_path_factory.mktemp("export")
    traces = []
    for row in questions()["train"].select(range(500)):
        question = row["question"]
        traces.append({"prompt": ask(question), "completion": make_trace(question)})
    append_jsonl(out / "traces.jsonl", traces)

    base = widen(BASE, out / "base")
    keys = ("--output_dir", out, "--model_name_or_path", base, *SFT_KEYS)
    ok(stage("sft", ARITHMETIC / "sft.yaml", *keys))
    ok(stage("grpo", ARITHMETIC / "grpo.yaml", "--output_dir", out, *GRPO_KEYS))
    return out


def ask(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def make_trace(question: str) -> str:
    """The trace that the base models write now and then, without a wrong step."""
    a, b, c = (int(number) for number in question.replace("*", "+").split("+"))
    tens = a // 10 * 10
    units = a % 10
    steps = (
        f"{tens}*{b}={tens * b}",
        f"{units}*{b}={units * b}",
        f"{tens * b}+{units * b}={a * b}",
        f"{a * b}+{c}={a * b + c}",
    )
    return f"<think>{' '.join(steps)}</think><answer>{a * b + c}</answer>"


def greedy_completions(model: Path, questions: list[str]) -> list[str]:
    """The completions of this repository's sampler at temperature 0."""
    from recipes.core.generation.sampling import SamplingArguments, sample_completions
    from recipes.core.models.loading import load_model
    from recipes.core.prompts.messages import render_prompt
    from recipes.core.prompts.tokenizer import load_tokenizer

    model_args = SimpleNamespace(dtype="float32", model_revision="main", attn_implementation=None)
    tokenizer = load_tokenizer(model)
    prompts = [render_prompt(tokenizer, ask(question)) for question in questions]
    sampling = SamplingArguments(1, 72, temperature=0.0)
    loaded = load_model(model, model_args)
    completions = sample_completions(loaded, tokenizer, prompts, sampling, 0)
    return [completion.text for completion in completions]


def held_out(count: int) -> list[str]:
    return questions()["test"]["question"][:count]


@pytest.mark.parametrize("name", ["student", "policy"])
def test_transformers_pipeline_gives_the_same_completions(out, name, monkeypatch):
    from transformers import pipeline

    # The base of an adapter is where the run found it: a path relative to this folder.
    monkeypatch.chdir(ROOT)
    generator = pipeline("text-generation", model=str(out / name), dtype="float32")
    prompts = [ask(question) for question in held_out(20)]
    replies = generator(prompts, max_new_tokens=72, do_sample=False)
    texts = [reply[0]["generated_text"][-1]["content"] for reply in replies]
    assert texts == greedy_completions(out / name, held_out(20))
    assert texts != greedy_completions(BASE, held_out(20))  # the training was exported


@pytest.mark.vllm
def test_vllm_gives_the_same_completions(out):
    from vllm import LLM, SamplingParams

    llm = LLM(str(out / "student"), dtype="float32", gpu_memory_utilization=0.1)
    params = SamplingParams(temperature=0, max_tokens=72)
    replies = llm.chat([ask(question) for question in held_out(20)], params, use_tqdm=False)
    texts = [reply.outputs[0].text for reply in replies]
    assert texts == greedy_completions(out / "student", held_out(20))


@pytest.mark.lm_eval
def test_lm_evaluation_harness_gives_the_same_accuracy(out, tmp_path):
    # The harness reads the same questions from a file.
    count = 200
    append_jsonl(tmp_path / "test.jsonl", questions()["test"].select(range(count)))
    task = TASK.format(file=tmp_path / "test.jsonl")
    (tmp_path / "small_arithmetic.yaml").write_text(task)
    model = ("--model", "hf", "--model_args", f"pretrained={out / 'student'},dtype=float32")
    tasks = ("--tasks", "small_arithmetic", "--include_path", tmp_path, "--apply_chat_template")
    to = ("--batch_size", 50, "--output_path", tmp_path / "results.json")
    ok(run(sys.executable, "-m", "lm_eval", *model, *tasks, *to))
    (results,) = tmp_path.glob("results*.json")
    theirs = json.loads(results.read_text())["results"]["small_arithmetic"]["exact_match,answer"]

    keys = ("--models", "student", "--max_eval_samples", count, "--temperature", 0)
    ok(stage("evaluate", ARITHMETIC / "evaluate.yaml", "--output_dir", out, *keys))
    scores = json.loads((out / "scores.json").read_text())["held_out"]["models"]["student"]
    assert theirs == pytest.approx(scores["accuracy"], abs=1e-9)
    assert 0.1 < theirs < 1
