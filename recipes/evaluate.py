"""Held-out questions, one or more models, one table: how often the answer is right, and how much of that is format.

    accelerate launch recipes/evaluate.py --config recipes/arithmetic/evaluate.yaml [--models policy student] [--key value ...]

Reads the held-out questions and any models. Leaves, under outputs/<recipe>/, `scores.json` and `completions/<model>.jsonl`
(every completion with its verdict).
"""

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl import ModelConfig

import rewards
from recipes.core import config as configuration
from recipes.core import data, jsonl, manifest, models, prompts
from recipes.core.config import StageArguments, UserError
from recipes.core.sampling import SamplingArguments, batches, complete
from recipes.core.stage import run

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass
class EvaluateArguments(data.DataArguments):
    """Keys of this stage."""

    models: list[str] | None = field(
        default=None,
        metadata={
            "help": "`name=folder or hub id` each, or `policy`, `student` for what the run has left. Not with model_name_or_path."
        },
    )
    batch_size: int = field(default=64, metadata={"help": "Completions drawn at once, per process."})
    verdict: str = field(default="accuracy", metadata={"help": "The reward that says whether an answer is right."})


def main() -> None:
    started = time.time()
    config = configuration.load("evaluate", EvaluateArguments, SamplingArguments, ModelConfig, StageArguments)
    args, sampling, model_args, stage = (
        config.parse(cls) for cls in (EvaluateArguments, SamplingArguments, ModelConfig, StageArguments)
    )
    config.print_and_exit(args, sampling, model_args, stage)
    run_dir = config.output_dir(stage)
    chosen = choose_models(args.models, model_args.model_name_or_path, run_dir)
    judges = {"verdict": rewards.named(args.verdict), "format": rewards.named("format")}
    questions = data.load_questions(args, args.dataset_test_split, args.max_eval_samples)

    from accelerate import PartialState

    state = PartialState()
    scores: dict[str, dict[str, Any]] = {}
    for name, path in chosen.items():
        rows, parameters = run_model(name, path, questions, args, sampling, model_args, stage.seed, judges)
        if state.is_main_process:
            file = run_dir / "completions" / f"{name}.jsonl"
            file.unlink(missing_ok=True)
            jsonl.append(file, rows)
            scores[name] = score(rows) | {"parameters": parameters, "model": str(path)}
    if not state.is_main_process:
        return
    about = {"sampling": vars(sampling) | {"seed": stage.seed}, "dataset": f"{args.dataset_name}:{args.dataset_test_split}"}
    jsonl.write_document(run_dir / "scores.json", {name: values | about for name, values in scores.items()})
    made_of = {
        "config": config.resolve(args, sampling, model_args, stage),
        "inputs": {"dataset": manifest.fingerprint(questions)} | {n: manifest.model_sha256(p) for n, p in chosen.items()},
    }
    manifest.write(run_dir / "scores.manifest.json", "evaluate", made_of, started, status="finished")
    sys.stdout.write(table(scores, sampling))
    left = f"{run_dir}/scores.json (beside it: {', '.join(sorted(path.name for path in run_dir.iterdir()))})"
    manifest.say("evaluate", f"{len(questions)} held-out questions of {args.dataset_name}", left, started)


def choose_models(entries: list[str] | None, single: str | None, run_dir: Path) -> dict[str, str]:
    """Name and path of each model to evaluate; every local one is looked at before the first is run."""
    if single:
        entries = [f"{Path(single).name}={single}"]
    if not entries:
        raise UserError("models is not set; write `models: [base=some/folder, policy, student]` or `--model_name_or_path X`")
    chosen = {}
    for entry in entries:
        name, given, path = entry.partition("=")
        chosen[name] = models.check_model("models", path if given else str(run_dir / name))
    return chosen


def run_model(
    name: str,
    path: str,
    questions: "Dataset",
    args: EvaluateArguments,
    sampling: SamplingArguments,
    model_args: ModelConfig,
    seed: int,
    judges: dict[str, rewards.Reward],
) -> tuple[list[dict[str, Any]], int]:
    """Every completion of one model with its verdicts, in the order of the questions, and the model's parameter count."""
    from accelerate import PartialState
    from accelerate.utils import gather_object
    from tqdm import tqdm

    state = PartialState()
    tokenizer = prompts.load_tokenizer(path, args.chat_template, revision=model_args.model_revision)
    asked = data.drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    model = models.load_model(path, model_args)
    made = []
    todo = list(enumerate(batches(len(asked), max(1, args.batch_size // sampling.num_generations))))
    for index, batch in tqdm(
        todo[state.process_index :: state.num_processes], desc=f"evaluate {name}", unit="batch", disable=not state.is_main_process
    ):
        rows = [(i, asked[i], n) for i in batch for n in range(sampling.num_generations)]
        completions = complete(model, tokenizer, [row for _, row, _ in rows], sampling, judges, seed, index)
        made += [
            {"index": i, "sample": n, "question": row["question"], "answer": row["answer"]} | completion
            for (i, row, n), completion in zip(rows, completions, strict=True)
        ]
    made = gather_object(made)
    return sorted(made, key=lambda row: (row["index"], row["sample"])), model.num_parameters()


def score(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The scores of one model's completions.

    Returns `accuracy`, `format` (shares of the samples), `accuracy_given_format` (`None` if no sample is well-formed), `ci95`
    (of the accuracy), `mean_length` (tokens), `cut_off` (share that did not end), `n` (questions) and `samples`. Samples that
    the verdict cannot judge are left out.
    """
    judged = [row for row in rows if row["verdict"] is not None]
    if not judged:
        raise UserError("the verdict cannot judge any of the gold answers; look at `answer_pattern` and `verdict`")
    well_formed = [row for row in judged if row["format"] == 1.0]
    accuracy = sum(row["verdict"] == 1.0 for row in judged) / len(judged)
    n = len({row["index"] for row in judged})
    right = sum(row["verdict"] == 1.0 for row in well_formed)
    return {
        "accuracy": accuracy,
        "format": len(well_formed) / len(judged),
        "accuracy_given_format": right / len(well_formed) if well_formed else None,
        "n": n,
        "ci95": list(wilson(accuracy, n)),
        "mean_length": sum(row["tokens"] for row in judged) / len(judged),
        "cut_off": sum(not row["finished"] for row in judged) / len(judged),
        "samples": len(judged),
    }


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share seen in `n` independent questions (Wilson 1927). Several samples of one question are not
    independent, so `n` counts questions: the interval is then too wide rather than too narrow."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def table(scores: dict[str, dict[str, Any]], sampling: SamplingArguments) -> str:
    """The scores as a Markdown table."""
    lines = [
        f"Held-out, {sampling.num_generations} sample(s) a question, temperature {sampling.temperature:g}, top_p "
        f"{sampling.top_p:g}, at most {sampling.max_completion_length} tokens.",
        "",
        "| model | parameters | accuracy | 95 % interval | format | accuracy given format | mean length | questions | samples |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, s in scores.items():
        given = "-" if s["accuracy_given_format"] is None else f"{s['accuracy_given_format']:.3f}"
        low, high = s["ci95"]
        lines.append(
            f"| {name} | {s['parameters'] / 1e6:.3g} M | {s['accuracy']:.3f} | {low:.3f} to {high:.3f} | {s['format']:.3f} | "
            f"{given} | {s['mean_length']:.1f} | {s['n']} | {s['samples']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
