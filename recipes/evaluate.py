"""Evaluation: one or more models answer held-out questions, and one table compares them.

    accelerate launch recipes/evaluate.py --config recipes/arithmetic/evaluate.yaml [--key value]

Reads    held-out questions, other sets of questions, and any models
Writes   outputs/<recipe>/scores.json
         outputs/<recipe>/completions/<benchmark>/<model>.jsonl   every completion with its scores
Resumes  with the completions that are missing; a model is sampled again if its settings changed

A completion has three scores: strict accuracy, accuracy wherever the answer stands, and format.
So a gain in format is not sold as reasoning.
"""

import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from trl import ModelConfig

from recipes.core.config import Config, RunArguments, StageSpec, load_config
from recipes.core.data import Benchmark, BenchmarkArguments, drop_long_prompts, load_benchmarks
from recipes.core.errors import UserError
from recipes.core.evaluation import FlexibleAccuracy, ScoreBook, score_table
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
from recipes.core.preflight import check_model_path, fail_fast
from recipes.core.runs import Provenance, SamplingRun, discard_changed, log_summary
from recipes.core.runs.fingerprints import dataset_fingerprint, model_sha256
from recipes.core.runs.manifest import write_manifest
from recipes.core.runtime.device import process_state
from recipes.core.runtime.entrypoint import run_stage
from rewards import get_reward, needs_answer


@dataclass
class EvaluateArguments(BenchmarkArguments):
    """Keys of this stage; recipes/defaults/evaluate.yaml explains each."""

    models: list[str] | None = None
    greedy: bool = False
    batch_size: int = 64
    correctness_reward: str = "accuracy"


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
    args = config.parse(EvaluateArguments)
    sampling = config.parse(SamplingArguments)

    # These lines find mistakes within a second: paths of all models, rewards, missing datasets.
    fail_fast(config)
    models = list_models(config)
    need_answer = needs_answer(get_reward(args.correctness_reward))
    benchmarks = load_benchmarks(args, config.source, need_answer)

    # Every model answers every benchmark; what is already on the disk is not sampled again.
    scores = ScoreBook(config.parse(RunArguments).seed)
    for model in models:
        with open_model(config, model.path) as sampler:
            for benchmark in benchmarks:
                evaluation = Evaluation(config, sampling, model, benchmark)
                samples, speed = evaluation.run(sampler)
                scores.add(model.name, benchmark.name, samples, sampler.metadata)
                scores.add_speed(model.name, benchmark.name, speed)
                if args.greedy:
                    greedy_samples, _ = evaluation.greedy().run(sampler)
                    scores.add_greedy(model.name, benchmark.name, greedy_samples)
    if not process_state().is_main_process:
        return

    # One document for programs, one table for people. The held-out questions are the first set.
    write_scores(config, scores, models, benchmarks)
    sys.stdout.write(score_table(scores, sampling))
    log_summary(
        "evaluate",
        f"{len(benchmarks[0].questions)} held-out questions of {args.dataset_name}",
        f"{config.run_dir}/scores.json and {config.run_dir}/completions",
        config.started,
    )


def open_model(config: Config, path: str) -> Sampler:
    """The sampler of one model, which is loaded until its `with` block ends."""
    template = config.parse(EvaluateArguments).chat_template
    return open_sampler(path, config.parse(ModelConfig), config.parse(EndpointArguments), template)


@dataclass(frozen=True)
class EvaluatedModel:
    """A model: the name that files and tables use, and its folder, hub id or address."""

    name: str
    path: str

    @cached_property
    def weights_sha256(self) -> str | None:
        """The hash of its weights, on the main process; it takes seconds a gigabyte."""
        if not process_state().is_main_process:
            return None
        return model_sha256(self.path)


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


def list_models(config: Config) -> list[EvaluatedModel]:
    """The models to evaluate; all local paths are checked.

    An entry of `models` is `name=folder or hub id`, `name=http://host/v1#model`, or the name of an
    artefact of the run, such as `policy`.
    """
    # One model by its own key, which wins, or a list of entries.
    single = config.parse(ModelConfig).model_name_or_path
    entries = config.parse(EvaluateArguments).models
    if single:
        entries = [f"{Path(single).name}={single}"]
    if not entries:
        raise UserError(
            "models is not set; write `models: [base=some/folder, policy, student]` "
            "or `--model_name_or_path X`"
        )

    # A name must be unique: files and tables use it.
    paths: dict[str, str] = {}
    for entry in entries:
        name, separator, path = entry.partition("=")
        if not name or name in paths:
            raise UserError(
                f"models: {entry!r} needs a unique name, as in name={path or 'some/folder'}"
            )
        if not separator:
            path = str(config.run_dir / name)
        paths[name] = check_model_address(entry, name, path)
    return [EvaluatedModel(name, path) for name, path in paths.items()]


def check_model_address(entry: str, name: str, path: str) -> str:
    """`path`, if it can be a model: an address with the model's name, a folder, or a hub id."""
    if not path.startswith(("http://", "https://")):
        return check_model_path("models", path)
    if not path.partition("#")[2]:
        raise UserError(f"models: {entry!r} lacks the model's name; write {name}={path}#model")
    return path


def write_scores(
    config: Config, scores: ScoreBook, models: list[EvaluatedModel], benchmarks: list[Benchmark]
) -> None:
    """Writes scores.json and its manifest."""
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
    write_manifest(manifest, "evaluate", provenance, config.started, status="finished")


if __name__ == "__main__":
    run_stage(main)
