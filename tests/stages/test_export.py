"""The student and the policy in what people use next: transformers' pipeline, vLLM and lm-evaluation-harness say what we say.

`pytest -m vllm` needs the package vllm (tests/generation/test_vllm_sampler.py says how to install it on a CPU). `pytest -m lm_eval` needs
`pip install lm_eval==0.4.13` into an environment that has requirements.txt already, so that torch stays.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from recipes.arithmetic.dataset import questions
from recipes.core.files import append_jsonl
from tests.support.commands import ROOT, run, stage
from tests.support.widen_heads import widen

GRPO, SFT, EVALUATE = (f"recipes/arithmetic/{name}.yaml" for name in ("grpo", "sft", "evaluate"))
BASE = ROOT / "recipes/arithmetic/models/base"
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


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A run's folder with a `student/` that is right now and then, and a `policy/` whose base is a relative path.

    The student starts from a base that knows the sums, with heads of a size that vLLM takes, and begins to learn the format.
    """
    out = tmp_path_factory.mktemp("export")
    rows = questions()["train"].select(range(500))
    append_jsonl(
        out / "traces.jsonl",
        [{"prompt": asked(row["question"]), "completion": worked(row["question"])} for row in rows],
    )
    base = widen(BASE, out / "base")
    sft = (
        "--max_steps",
        6,
        "--per_device_train_batch_size",
        32,
        "--learning_rate",
        1e-3,
    )  # so few that it often forgets the tags
    grpo = (
        "--max_steps",
        2,
        "--per_device_train_batch_size",
        32,
        "--num_generations",
        8,
        "--learning_rate",
        5e-3,
    )
    for done in (
        stage("sft", SFT, "--output_dir", out, "--model_name_or_path", base, *sft),
        stage("grpo", GRPO, "--output_dir", out, *grpo),
    ):
        assert done.returncode == 0, done.stderr
    return out


def asked(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def worked(question: str) -> str:
    """The trace that the base models were made to write now and then, without a wrong step."""
    a, b, c = (int(number) for number in question.replace("*", "+").split("+"))
    first, second = a // 10 * 10 * b, a % 10 * b
    working = f"{a // 10 * 10}*{b}={first} {a % 10}*{b}={second} {first}+{second}={a * b} {a * b}+{c}={a * b + c}"
    return f"<think>{working}</think><answer>{a * b + c}</answer>"


def ours(model: Path, held_out: list[str]) -> list[str]:
    """The project's own greedy completions."""
    from recipes.core.generation.sampling import SamplingArguments, sample_completions
    from recipes.core.models.loading import load_model
    from recipes.core.prompts.messages import render_prompt
    from recipes.core.prompts.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(model)
    loaded = load_model(
        model, SimpleNamespace(dtype="float32", model_revision="main", attn_implementation=None)
    )
    texts = [render_prompt(tokenizer, asked(question)) for question in held_out]
    return [
        one.text
        for one in sample_completions(
            loaded, tokenizer, texts, SamplingArguments(1, 72, temperature=0.0), 0
        )
    ]


def held_out(count: int) -> list[str]:
    return questions()["test"]["question"][:count]


@pytest.mark.parametrize("name", ["student", "policy"])
def test_transformers_pipeline_says_what_we_say(out, name, monkeypatch):
    from transformers import pipeline

    monkeypatch.chdir(
        ROOT
    )  # an adapter's base is where the run found it: here a path in this folder
    generator = pipeline("text-generation", model=str(out / name), dtype="float32")
    replies = generator(
        [asked(question) for question in held_out(20)], max_new_tokens=72, do_sample=False
    )
    said = [reply[0]["generated_text"][-1]["content"] for reply in replies]
    assert said == ours(out / name, held_out(20))
    assert said != ours(BASE, held_out(20))  # what was trained is in what was exported


@pytest.mark.vllm
def test_vllm_says_what_we_say(out):
    from vllm import LLM, SamplingParams

    llm = LLM(str(out / "student"), dtype="float32", gpu_memory_utilization=0.1)
    params = SamplingParams(temperature=0, max_tokens=72)
    replies = llm.chat([asked(question) for question in held_out(20)], params, use_tqdm=False)
    assert [reply.outputs[0].text for reply in replies] == ours(out / "student", held_out(20))


@pytest.mark.lm_eval
def test_lm_evaluation_harness_gives_the_score_that_evaluate_gives(out, tmp_path):
    count = 200
    rows = [
        {"question": row["question"], "answer": row["answer"]}
        for row in questions()["test"].select(range(count))
    ]
    append_jsonl(tmp_path / "test.jsonl", rows)
    (tmp_path / "small_arithmetic.yaml").write_text(TASK.format(file=tmp_path / "test.jsonl"))
    done = run(sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={out / 'student'},dtype=float32",
               "--tasks", "small_arithmetic", "--include_path", tmp_path, "--apply_chat_template", "--batch_size", 50,
               "--output_path", tmp_path / "results.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("results*.json")
    theirs = json.loads(results.read_text())["results"]["small_arithmetic"]["exact_match,answer"]
    done = stage(
        "evaluate",
        EVALUATE,
        "--output_dir",
        out,
        "--models",
        "student",
        "--max_eval_samples",
        count,
        "--temperature",
        0,
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((out / "scores.json").read_text())
    assert theirs == pytest.approx(scores["student"]["accuracy"], abs=1e-9)
    assert 0.1 < theirs < 1
