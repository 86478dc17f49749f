"""Held-out questions, one or more models, one table: how often the answer is right, and how much of that is format.

    accelerate launch recipes/evaluate.py --config recipes/arithmetic/evaluate.yaml [--models policy student] [--key value ...]

Reads the held-out questions and any models. Leaves, under outputs/<recipe>/, `scores.json` and `completions/<model>.jsonl`
(every completion with its verdicts) with a manifest. Started again, it draws only what is missing; with other settings it draws
anew.
"""

import itertools
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl import ModelConfig

import rewards
from recipes.core import config as configuration
from recipes.core import data, jsonl, manifest, models, prompts, resume
from recipes.core.config import StageArguments, UserError
from recipes.core.drawing import draw
from recipes.core.sampling import SamplingArguments
from recipes.core.stage import run
from recipes.core.teachers import LocalTeacher
from rewards.batch import BatchReward, Judged, Row
from rewards.trace import lenient

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Lenient(BatchReward):
    """The verdict on the answer that stands anywhere after the thinking, so that a gain in format is not sold as reasoning."""

    verdict: rewards.Reward

    def judge(self, completions: Sequence[str], rows: Sequence[Row]) -> Judged:
        return rewards.score(self.verdict, "verdict", [lenient(completion) for completion in completions], rows)


def main() -> None:
    started = time.time()
    config = configuration.load("evaluate", EvaluateArguments, SamplingArguments, ModelConfig, StageArguments)
    args, sampling, model_args, stage = (
        config.parse(cls) for cls in (EvaluateArguments, SamplingArguments, ModelConfig, StageArguments)
    )
    config.print_and_exit(args, sampling, model_args, stage)
    run_dir = config.output_dir(stage)
    chosen = choose_models(args.models, model_args.model_name_or_path, run_dir)
    verdict = rewards.named(args.verdict)
    judges: dict[str, rewards.Reward] = {"verdict": verdict, "lenient": Lenient(verdict), "format": rewards.named("format")}
    questions = data.load_questions(args, args.dataset_test_split, args.max_eval_samples)

    from accelerate import PartialState

    from recipes.core import scores

    state = PartialState()
    resolved = config.resolve(args, sampling, model_args, stage)
    inputs = {"dataset": manifest.fingerprint(questions)} | {name: manifest.model_sha256(path) for name, path in chosen.items()}
    drawn_with = {"config": {key: value for key, value in resolved.items() if key != "models"}}
    rows, summaries = {}, {}
    for name, path in chosen.items():
        made_of = drawn_with | {"inputs": {"dataset": inputs["dataset"], "model": inputs[name]}}
        rows[name], about = run_model(name, path, questions, args, sampling, model_args, stage.seed, judges, made_of, run_dir)
        summaries[name] = scores.summary(rows[name], stage.seed) | about
    if not state.is_main_process:
        return
    about = {"sampling": vars(sampling) | {"seed": stage.seed}, "dataset": f"{args.dataset_name}:{args.dataset_test_split}"}
    accuracies = {name: scores.question_accuracy(made) for name, made in rows.items()}
    compared = {
        f"{second} - {first}": scores.paired(accuracies[first], accuracies[second], stage.seed)
        for first, second in itertools.pairwise(chosen)  # as the story goes: base and policy, policy and student
    }
    document = {name: values | about for name, values in summaries.items()}
    jsonl.write_document(run_dir / "scores.json", document | ({"paired": compared} if compared else {}))
    made_of = {"config": resolved, "inputs": inputs}
    manifest.write(run_dir / "scores.manifest.json", "evaluate", made_of, started, status="finished")
    sys.stdout.write(table(summaries, compared, sampling))
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
    made_of: dict[str, Any],
    run_dir: Path,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every completion of one model with its verdicts, in the order of the questions, and facts about the model."""
    from accelerate import PartialState

    state, began = PartialState(), time.time()
    tokenizer = prompts.load_tokenizer(path, args.chat_template, revision=model_args.model_revision)
    asked = data.drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    file, about = run_dir / "completions" / f"{name}.jsonl", run_dir / "completions" / f"{name}.manifest.json"
    model_made_of = made_of | {"model": {"path": path, "template": tokenizer.chat_template}}
    with state.main_process_first():
        if state.is_main_process:
            if resume.differs(about, model_made_of):
                logger.info("%s was drawn with other settings and is drawn anew", file)
                file.unlink(missing_ok=True)
            manifest.write(about, "evaluate", model_made_of, began, status="running")
            jsonl.keep(file, lambda row: True)
    keys = [f"{index:06d}" for index in range(len(asked))]
    model = models.load_model(path, model_args)
    draw(LocalTeacher(model, tokenizer), asked, keys, sampling, judges, file, seed, args.batch_size, f"evaluate {name}")
    rows = sorted(jsonl.read(file), key=lambda row: (row["key"], row["sample"]))
    if state.is_main_process:
        jsonl.replace(file, rows)  # the processes wrote in any order
        manifest.write(about, "evaluate", model_made_of, began, status="finished")
    return rows, {"parameters": model.num_parameters(), "model": path}


def table(summaries: dict[str, dict[str, Any]], compared: dict[str, dict[str, Any]], sampling: SamplingArguments) -> str:
    """The scores as a Markdown table, and what is said about pairs of models."""
    lines = [
        f"Held-out, {sampling.num_generations} sample(s) a question, temperature {sampling.temperature:g}, top_p "
        f"{sampling.top_p:g}, at most {sampling.max_completion_length} tokens.",
        "",
        "| model | parameters | accuracy | 95 % interval | lenient | format | given format | length | questions | samples |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, s in summaries.items():
        given = "-" if s["accuracy_given_format"] is None else f"{s['accuracy_given_format']:.3f}"
        low, high = s["ci95"]
        lines.append(
            f"| {name} | {s['parameters'] / 1e6:.3g} M | {s['accuracy']:.3f} | {low:.3f} to {high:.3f} | "
            f"{s['lenient_accuracy']:.3f} | {s['format']:.3f} | {given} | {s['mean_length']:.1f} | {s['n']} | {s['samples']} |"
        )
    lines.append("")
    for name, s in summaries.items():
        if s["majority"] is not None:
            at = ", ".join(f"pass@{k} {value:.3f}" for k, value in s["pass_at"].items())
            lines.append(f"{name}: {at}, majority of {sampling.num_generations} {s['majority']:.3f}")
    for pair, test in compared.items():
        low, high = test["ci95"]
        lines.append(f"{pair}: {test['difference']:+.3f} ({low:+.3f} to {high:+.3f}), p = {test['p']:.2g}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
