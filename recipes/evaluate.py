"""Evaluation: one or more models answer held-out questions, and one table compares them.

    accelerate launch recipes/evaluate.py --config recipes/arithmetic/evaluate.yaml [--key value]

Reads    held-out questions, other sets of questions, and any models
Writes   outputs/<recipe>/scores.json
         outputs/<recipe>/completions/<benchmark>/<model>.jsonl   every completion with its scores
Resumes  with the completions that are missing; a model is sampled again if its settings changed

A completion has three scores: strict accuracy, accuracy wherever the answer stands, and format.
So a gain in format is not sold as reasoning.

A model that is not there yet and a set of questions that cannot be read are left out and named. The
stage fails only if nothing can be scored.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from trl import ModelConfig

from recipes.core.config import Config, CorrectnessArguments, RunArguments, StageSpec, load_config
from recipes.core.data import Benchmark, BenchmarkArguments, drop_long_prompts, load_benchmarks
from recipes.core.evaluation import FlexibleAccuracy, NotScored, ScoreBook, score_table
from recipes.core.files import write_json
from recipes.core.generation import (
    EndpointArguments,
    Sample,
    Sampler,
    SamplingArguments,
    SamplingJob,
    collect_samples,
    open_sampler,
)
from recipes.core.preflight import check_completion_fits, fail_fast
from recipes.core.preflight.evaluated_models import EvaluatedModel, list_models
from recipes.core.runs import Provenance, SamplingRun, discard_changed, follow_policy, log_summary
from recipes.core.runs.fingerprints import dataset_fingerprint
from recipes.core.runs.manifest import write_manifest
from recipes.core.runtime.device import process_state
from recipes.core.runtime.entrypoint import run_stage
from rewards import get_reward, needs_answer

logger = logging.getLogger(__name__)


@dataclass
class EvaluateArguments(BenchmarkArguments, CorrectnessArguments):
    """Keys of this stage; recipes/defaults/evaluate.yaml explains each."""

    models: list[str] | None = None
    greedy: bool = False
    batch_size: int = 64


STAGE = StageSpec(
    name="evaluate",
    arguments=(
        EvaluateArguments,
        SamplingArguments,
        EndpointArguments,
        ModelConfig,
        RunArguments,
    ),
    artifact="scores.json",
)


def main() -> None:
    config = load_config(STAGE)
    follow_policy(config)
    args = config.parse(EvaluateArguments)
    sampling = config.parse(SamplingArguments)

    # These lines find mistakes within a second: rewards, models and datasets that are not there.
    fail_fast(config)
    not_scored = NotScored()
    single_model = config.parse(ModelConfig).model_name_or_path
    models = list_models(args.models, single_model, config.run_dir, not_scored)
    need_answer = needs_answer(get_reward(args.correctness_reward))
    benchmarks = load_benchmarks(args, config.source, not_scored.instead_of_error, need_answer)
    if not models or not benchmarks:
        not_scored.raise_all()
    for line in not_scored.lines():
        logger.warning(line)

    # Every model answers every benchmark; what is already on the disk is not sampled again.
    scores = ScoreBook(config.parse(RunArguments).seed)
    for model in models:
        unless_missing = left_out(not_scored, model.name, len(models))
        with unless_missing, open_model(config, model.path) as sampler:
            for benchmark in benchmarks:
                evaluation = Evaluation(config, sampling, model, benchmark)
                with left_out(not_scored, evaluation.name, len(benchmarks)):
                    add_scores(scores, evaluation, sampler)
    if not scores.scores:
        not_scored.raise_all()
    if not process_state().is_main_process:
        return

    # One document for programs, one table for people, which ends with what is missing from it.
    write_scores(config, scores, models, benchmarks, not_scored)
    sys.stdout.write(score_table(scores, sampling))
    sys.stdout.writelines(f"{line}\n" for line in not_scored.lines())
    log_summary(
        "evaluate",
        f"{len(benchmarks[0].questions)} held-out questions of {benchmarks[0].dataset}",
        f"{config.run_dir}/scores.json and {config.run_dir}/completions",
        config.started,
    )


@contextmanager
def left_out(not_scored: NotScored, name: str, candidates: int) -> Iterator[None]:
    """Leaves `name` out if the block raises `UserError`, and says so; the only candidate may raise.

    In a group of processes it raises too: one that has failed must not go on while others wait.
    """
    if candidates == 1 or process_state().num_processes > 1:
        yield
        return
    with not_scored.instead_of_error(name):
        yield
    if name in not_scored.reasons:
        logger.warning(not_scored.line(name))


def add_scores(scores: ScoreBook, evaluation: "Evaluation", sampler: Sampler) -> None:
    """Samples what is missing of one model on one benchmark, and adds its scores."""
    model = evaluation.model.name
    benchmark = evaluation.benchmark.name
    samples, speed = evaluation.run(sampler)
    scores.add(model, benchmark, samples, sampler.metadata)
    scores.add_speed(model, benchmark, speed)
    if evaluation.config.parse(EvaluateArguments).greedy:
        greedy_samples, _ = evaluation.greedy().run(sampler)
        scores.add_greedy(model, benchmark, greedy_samples)


def open_model(config: Config, path: str) -> Sampler:
    """The sampler of one model, which is loaded until its `with` block ends."""
    template = config.parse(EvaluateArguments).chat_template
    return open_sampler(path, config.parse(ModelConfig), config.parse(EndpointArguments), template)


@dataclass(frozen=True)
class Evaluation:
    """One model on one benchmark.

    Attributes:
        suffix: of the file of its completions, before `.jsonl`.
    """

    config: Config
    sampling: SamplingArguments
    model: EvaluatedModel
    benchmark: Benchmark
    suffix: str = ""

    @property
    def name(self) -> str:
        """How messages refer to it."""
        return f"{self.model.name} on {self.benchmark.name}"

    def greedy(self) -> "Evaluation":
        """The same with the most likely completion of each question."""
        sampling = replace(self.sampling, temperature=0.0, num_generations=1)
        return replace(self, sampling=sampling, suffix=".greedy")

    def run(self, sampler: Sampler) -> tuple[list[Sample], dict[str, float]]:
        """Every completion in the order of the questions, and how fast they were sampled."""
        args = self.config.parse(EvaluateArguments)
        # The questions that fit the model's prompt limit.
        questions = self.benchmark.questions
        if sampler.tokenizer:
            length = self.benchmark.arguments.max_prompt_length
            questions = drop_long_prompts(questions, sampler.tokenizer, length)
            model_args = replace(self.config.parse(ModelConfig), model_name_or_path=self.model.path)
            check_completion_fits(model_args, questions, self.sampling.max_completion_length)
        # What to sample, and the three scores of each completion.
        correct = get_reward(args.correctness_reward)
        folder = self.config.run_dir / "completions" / self.benchmark.name
        job = SamplingJob(
            questions,
            self.sampling,
            scorers={
                "correct": correct,
                "flexible": FlexibleAccuracy(correct),
                "format": get_reward("format"),
            },
            file=folder / f"{self.model.name}{self.suffix}.jsonl",
            seed=self.config.parse(RunArguments).seed,
            batch_size=args.batch_size,
            label=f"evaluate {self.model.name} on {self.benchmark.name}",
        )
        # A file of another model or with other settings is sampled again. The prompt is compared as
        # the model sees it, so that a changed chat template is noticed.
        first_prompt = sampler.first_prompt(questions)
        provenance = self.provenance(sampler.metadata | {"first_prompt": first_prompt})
        with SamplingRun("evaluate", job.file, provenance, on_change=discard_changed) as run:
            samples, stats = collect_samples(sampler, job)
            run.stats = stats or run.stats  # nothing was missing: those of the run before
        return samples, run.stats

    def provenance(self, metadata: dict[str, object]) -> Provenance:
        """What the completions depend on; which other models are evaluated does not matter."""
        # All keys but the list of models, the other sets, and whether greedy completions are added.
        settings = self.config.resolve(*STAGE.arguments)
        for key in ("models", "eval_sets", "greedy"):
            settings.pop(key, None)
        # Greedy completions differ in these two.
        settings["temperature"] = self.sampling.temperature
        settings["num_generations"] = self.sampling.num_generations
        inputs = {
            "dataset": dataset_fingerprint(self.benchmark.questions),
            "model": self.model.weights_sha256,
        }
        return Provenance(settings, inputs, model=metadata)


def write_scores(
    config: Config,
    scores: ScoreBook,
    models: list[EvaluatedModel],
    benchmarks: list[Benchmark],
    not_scored: NotScored,
) -> None:
    """Writes scores.json and its manifest, which also says what was not scored."""
    sampling = vars(config.parse(SamplingArguments)) | {"seed": config.parse(RunArguments).seed}
    write_json(config.run_dir / "scores.json", scores.to_dict() | {"sampling": sampling})
    # What the scores depend on: the questions and the weights.
    inputs: dict[str, object] = {}
    for benchmark in benchmarks:
        inputs[benchmark.name] = dataset_fingerprint(benchmark.questions)
    for model in models:
        inputs[f"model {model.name}"] = model.weights_sha256
    provenance = Provenance(config.resolve(*STAGE.arguments), inputs)
    manifest = config.run_dir / "scores.manifest.json"
    missing = {"not_scored": not_scored.reasons} if not_scored.reasons else {}
    write_manifest(manifest, "evaluate", provenance, config.started, status="finished", **missing)


if __name__ == "__main__":
    run_stage(main)
