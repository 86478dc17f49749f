"""Held-out questions, one or more models, one table: how often the answer is right, and how much of that is format.

    accelerate launch recipes/evaluate.py --config recipes/arithmetic/evaluate.yaml [--models policy student] [--key value ...]

Reads the held-out questions, other sets of questions and any models. Leaves, under outputs/<recipe>/, `scores.json` and
`completions/<set>/<model>.jsonl` (every completion with its verdicts), each with a manifest. Started again, it draws only what is
missing; with other settings it draws anew.
"""

import itertools
import logging
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl import ModelConfig

from recipes.core.config.config import load_config
from recipes.core.config.stage import RunArguments
from recipes.core.data.benchmarks import BenchmarkArguments, benchmark_arguments
from recipes.core.data.filters import drop_long_prompts
from recipes.core.data.questions import load_questions
from recipes.core.errors import UserError
from recipes.core.evaluation.flexible_accuracy import FlexibleAccuracy
from recipes.core.files import Row, filter_jsonl, write_json
from recipes.core.generation.collect import SamplingJob, collect_samples
from recipes.core.generation.samplers import EndpointArguments, EndpointSampler, TransformersSampler
from recipes.core.generation.sampling import SamplingArguments
from recipes.core.models.loading import load_model
from recipes.core.preflight.model import check_model_path, check_not_quantised
from recipes.core.prompts.messages import render_prompt
from recipes.core.prompts.tokenizer import load_tokenizer
from recipes.core.runs.fingerprints import dataset_fingerprint, model_sha256
from recipes.core.runs.manifest import log_summary, read_manifest, write_manifest
from recipes.core.runs.resume import find_changes
from recipes.core.runtime.device import process_state
from recipes.core.runtime.entrypoint import run_stage
from rewards import Reward, get_reward

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


@dataclass
class EvaluateArguments(BenchmarkArguments):
    """Keys of this stage."""

    models: list[str] | None = field(
        default=None,
        metadata={
            "help": "`name=folder or hub id`, `name=http://host/v1#model`, or `policy`, `student` for what the run has left."
        },
    )
    greedy: bool = field(
        default=False, metadata={"help": "Also draw the most likely completion of each question."}
    )
    batch_size: int = field(
        default=64, metadata={"help": "Completions drawn at once, per process."}
    )
    verdict: str = field(
        default="accuracy", metadata={"help": "The reward that says whether an answer is right."}
    )


def main() -> None:
    started = time.time()
    kinds = (EvaluateArguments, SamplingArguments, EndpointArguments, ModelConfig, RunArguments)
    config = load_config("evaluate", *kinds)
    args, sampling, endpoint, model_args, stage = (config.parse(cls) for cls in kinds)
    config.print_and_exit(args, sampling, endpoint, model_args, stage)
    check_not_quantised(model_args)
    run_dir = config.output_dir(stage)
    chosen = list_models(args.models, model_args.model_name_or_path, run_dir)
    get_reward(args.verdict)  # whether there is one is known now
    asked = benchmark_arguments(args, config.source)
    sets = {
        name: load_questions(one, one.dataset_test_split, one.max_eval_samples)
        for name, one in asked.items()
    }
    for (
        name,
        questions,
    ) in (
        sets.items()
    ):  # before a model's tokenizer leaves out long ones: models are compared by these keys
        numbers = [f"{index:06d}" for index in range(len(questions))]
        sets[name] = questions.remove_columns(
            [c for c in questions.column_names if c == "key"]
        ).add_column("key", numbers)

    from recipes.core.evaluation.metrics import compare_paired, question_accuracy, summarize_scores
    from recipes.core.evaluation.score_table import score_table

    resolved = config.resolve(args, sampling, model_args, stage)
    inputs = {name: dataset_fingerprint(questions) for name, questions in sets.items()}
    is_main = process_state().is_main_process
    hashes = {name: model_sha256(path) if is_main else None for name, path in chosen.items()}
    summaries: dict[str, dict[str, Any]] = {name: {} for name in sets}
    accuracies: dict[str, dict[str, dict[str, float]]] = {name: {} for name in sets}
    speeds: dict[str, dict[str, dict[str, float]]] = {
        name: {} for name in sets
    }  # not in scores.json, which is always the same
    for model, path in chosen.items():
        teacher, about = open_model(path, args, endpoint, model_args)
        settings = {
            key: value
            for key, value in resolved.items()
            if key not in ("models", "eval_sets", "greedy")
        }
        for name, questions in sets.items():
            made_of = {
                "config": settings,
                "inputs": {"dataset": inputs[name], "model": hashes[model]},
                "model": dict(about),
            }
            file = run_dir / "completions" / name / f"{model}.jsonl"
            rows, speed = answers(
                teacher, questions, asked[name], sampling, file, stage.seed, made_of
            )
            accuracies[name][model] = question_accuracy(rows)
            summaries[name][model] = summarize_scores(rows, stage.seed) | about
            speeds[name][model] = speed
            if args.greedy:
                once = replace(sampling, temperature=0.0, num_generations=1)
                made_of["config"] = made_of["config"] | {"temperature": 0.0, "num_generations": 1}
                rows, _ = answers(
                    teacher,
                    questions,
                    asked[name],
                    once,
                    file.with_suffix(".greedy.jsonl"),
                    stage.seed,
                    made_of,
                )
                summaries[name][model]["greedy_accuracy"] = summarize_scores(rows, stage.seed)[
                    "accuracy"
                ]
        del teacher  # the next model takes its memory
    if not is_main:
        return
    compared = {
        name: {
            f"{second} - {first}": compare_paired(of_model[first], of_model[second], stage.seed)
            for first, second in itertools.pairwise(
                chosen
            )  # as the story goes: base and policy, policy and student
        }
        for name, of_model in accuracies.items()
    }
    document = {name: {"models": summaries[name], "paired": compared[name]} for name in sets}
    write_json(
        run_dir / "scores.json", document | {"sampling": vars(sampling) | {"seed": stage.seed}}
    )
    made_of = {
        "config": resolved,
        "inputs": inputs | {f"model {name}": value for name, value in hashes.items()},
    }
    write_manifest(
        run_dir / "scores.manifest.json", "evaluate", made_of, started, status="finished"
    )
    sys.stdout.write(score_table(summaries, speeds["held_out"], compared["held_out"], sampling))
    left = f"{run_dir}/scores.json (beside it: {', '.join(sorted(path.name for path in run_dir.iterdir()))})"
    log_summary(
        "evaluate",
        f"{len(sets['held_out'])} held-out questions of {args.dataset_name}",
        left,
        started,
    )


def list_models(entries: list[str] | None, single: str | None, run_dir: Path) -> dict[str, str]:
    """Name and path (or address) of each model to evaluate; every local one is looked at before the first is run."""
    if single:
        entries = [f"{Path(single).name}={single}"]
    if not entries:
        raise UserError(
            "models is not set; write `models: [base=some/folder, policy, student]` or `--model_name_or_path X`"
        )
    chosen = {}
    for entry in entries:
        name, given, path = entry.partition("=")
        if not name or name in chosen:
            raise UserError(
                f"models: {entry!r} needs a name of its own, as in name={path or 'some/folder'}"
            )
        if path.startswith(("http://", "https://")):
            if not path.partition("#")[2]:
                raise UserError(f"models: {entry!r} names no model; write name={path}#model")
            chosen[name] = path
        else:
            chosen[name] = check_model_path("models", path if given else str(run_dir / name))
    return chosen


def open_model(
    path: str, args: EvaluateArguments, endpoint: EndpointArguments, model_args: ModelConfig
) -> tuple[TransformersSampler | EndpointSampler, dict[str, Any]]:
    """Someone to answer the questions, and facts about it: `model`, `parameters`, `weights_mb` and `template` (local ones)."""
    if path.startswith(("http://", "https://")):
        url, _, name = path.partition("#")
        return EndpointSampler(url, name, endpoint), {"model": path, "parameters": None}
    tokenizer = load_tokenizer(path, args.chat_template, revision=model_args.model_revision)
    model = load_model(path, model_args)
    facts = {
        "parameters": model.num_parameters(),
        "weights_mb": round(model.get_memory_footprint() / 1e6, 1),
    }
    return TransformersSampler(model, tokenizer), {
        "model": path,
        "template": tokenizer.chat_template,
    } | facts


def answers(
    teacher: TransformersSampler | EndpointSampler,
    questions: "Dataset",
    args: EvaluateArguments,
    sampling: SamplingArguments,
    file: Path,
    seed: int,
    made_of: dict[str, Any],
) -> tuple[list[Row], dict[str, float]]:
    """Every completion of one model on one set with its verdicts, in the order of the questions; and how fast it came."""
    state, began, about = process_state(), time.time(), file.with_suffix(".manifest.json")
    if isinstance(teacher, TransformersSampler):
        questions = drop_long_prompts(questions, teacher.tokenizer, args.max_prompt_length)
        made_of["model"]["first_prompt"] = render_prompt(teacher.tokenizer, questions[0]["prompt"])
    else:
        made_of["model"]["first_prompt"] = questions[0]["prompt"]
    before = read_manifest(about).get("drawn", {})
    with state.main_process_first():
        if state.is_main_process:
            if find_changes(about, made_of):
                logger.info("%s was drawn with other settings and is drawn anew", file)
                file.unlink(missing_ok=True)
                before = {}
            write_manifest(about, "evaluate", made_of, began, status="running", drawn=before)
            filter_jsonl(file, lambda row: True)
    verdict = get_reward(args.verdict)
    judges: dict[str, Reward] = {
        "verdict": verdict,
        "lenient": FlexibleAccuracy(verdict),
        "format": get_reward("format"),
    }
    wanted = SamplingJob(
        questions, list(questions["key"]), sampling, judges, file, seed, args.batch_size
    )
    rows, drawn = collect_samples(teacher, wanted, f"evaluate {file.stem} on {file.parent.name}")
    if state.is_main_process:
        write_manifest(about, "evaluate", made_of, began, status="finished", drawn=drawn or before)
    return rows, drawn or before


if __name__ == "__main__":
    run_stage(main)
