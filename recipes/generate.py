"""Rejection sampling: the teacher answers the training questions, and good answers become traces.

    accelerate launch recipes/generate.py --config recipes/arithmetic/generate.yaml [--key value]

Reads    questions with answers, and a teacher (policy/ of the run by default)
Writes   outputs/<recipe>/generations.jsonl   every completion of the teacher with its scores
         outputs/<recipe>/traces.jsonl        those that a student learns from
Resumes  with the completions that are missing when the same command is run again
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trl import ModelConfig

from recipes.core.config import Config, CorrectnessArguments, RunArguments, StageSpec, load_config
from recipes.core.data import (
    BenchmarkArguments,
    benchmark_questions,
    drop_duplicates,
    drop_long_prompts,
    load_questions,
)
from recipes.core.distillation import (
    Selection,
    TraceArguments,
    format_funnel,
    require_traces,
    select_traces,
)
from recipes.core.files import replace_jsonl
from recipes.core.generation import (
    Sample,
    SamplerArguments,
    SamplingArguments,
    SamplingJob,
    collect_samples,
    open_sampler,
)
from recipes.core.preflight import (
    check_completion_fits,
    check_model_folder,
    check_model_path,
    fail_fast,
)
from recipes.core.runs import Provenance, SamplingRun, follow_policy, log_summary, refuse_changes
from recipes.core.runs.fingerprints import dataset_fingerprint, model_sha256
from recipes.core.runs.manifest import write_manifest
from recipes.core.runtime.device import process_state
from recipes.core.runtime.entrypoint import run_stage
from rewards import get_reward, needs_answer

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass
class GenerateArguments(BenchmarkArguments, CorrectnessArguments):
    """Keys of this stage; recipes/defaults/generate.yaml explains each."""

    batch_size: int = 64


STAGE = StageSpec(
    name="generate",
    arguments=(
        GenerateArguments,
        SamplingArguments,
        SamplerArguments,
        TraceArguments,
        ModelConfig,
        RunArguments,
    ),
    artifact="traces.jsonl",
)


@dataclass(frozen=True)
class Generations:
    """Everything that the teacher sampled.

    Attributes:
        file: generations.jsonl.
        read: what was sampled from, in words.
    """

    file: Path
    samples: list[Sample]
    provenance: Provenance
    read: str


def main() -> None:
    config = load_config(STAGE)
    follow_policy(config)
    args = config.parse(GenerateArguments)
    selection = config.parse(TraceArguments)

    # These lines find mistakes within a second: the teacher's path, rewards, a missing dataset.
    fail_fast(config)
    teacher = teacher_name(config)
    need_answer = needs_answer(get_reward(args.correctness_reward))
    questions = load_questions(args, args.dataset_train_split, args.max_train_samples, need_answer)
    held_out = benchmark_questions(args, config.source) if selection.decontaminate else []

    # Sample: every question is answered `num_generations` times, and every answer is scored.
    generations = sample_teacher(config, teacher, questions)
    if not process_state().is_main_process:
        return

    # Select: finished, correct and well-formed samples that a student can learn from.
    seed = config.parse(RunArguments).seed
    selected = select_traces(generations.samples, selection, held_out, seed)
    require_traces(generations.file, selected.funnel)
    write_traces(config, generations, selected)


def sample_teacher(config: Config, teacher: str, questions: "Dataset") -> Generations:
    """The teacher's answers to the questions; those in generations.jsonl are not sampled again."""
    args = config.parse(GenerateArguments)
    model_args = config.parse(ModelConfig)
    sampler_args = config.parse(SamplerArguments)
    with open_sampler(teacher, model_args, sampler_args, args.chat_template) as sampler:
        if sampler.tokenizer:  # an endpoint has none here
            questions = drop_long_prompts(questions, sampler.tokenizer, args.max_prompt_length)
            length = config.parse(SamplingArguments).max_completion_length
            check_completion_fits(
                replace(model_args, model_name_or_path=teacher), questions, length
            )
        questions = drop_duplicates(questions)
        inputs = {
            "dataset": dataset_fingerprint(questions),
            "teacher": teacher_fingerprint(teacher, sampler_args),
        }
        provenance = Provenance(sampling_config(config), inputs)
        job = SamplingJob(
            questions,
            sampling=config.parse(SamplingArguments),
            scorers={
                "correct": get_reward(args.correctness_reward),
                "format": get_reward("format"),
            },
            file=config.run_dir / "generations.jsonl",
            seed=config.parse(RunArguments).seed,
            batch_size=args.batch_size,
            label="generate",
        )
        # Samples of another teacher or with other settings are refused, never mixed.
        with SamplingRun("generate", job.file, provenance, on_change=refuse_changes) as run:
            samples, stats = collect_samples(sampler, job)
            run.stats = stats or run.stats  # nothing was missing: those of the run before
    read = f"{len(questions)} questions and {teacher}"
    return Generations(job.file, samples, provenance, read)


def write_traces(config: Config, generations: Generations, selected: Selection) -> None:
    """Writes traces.jsonl and its manifest, and logs the funnel."""
    # The traces, then what they were selected from and how.
    file = config.run_dir / "traces.jsonl"
    replace_jsonl(file, selected.traces)
    settings = generations.provenance.config | config.resolve(TraceArguments)
    write_manifest(
        config.run_dir / "traces.manifest.json",
        "generate",
        replace(generations.provenance, config=settings),
        config.started,
        status="finished",
        funnel=selected.funnel,
    )
    wrote = f"{file} ({format_funnel(selected.funnel)})"
    log_summary("generate", generations.read, wrote, config.started)


def teacher_name(config: Config) -> str:
    """Folder, hub id or name at an endpoint of the teacher."""
    policy = config.run_dir / "policy"
    name = config.parse(ModelConfig).model_name_or_path
    if config.parse(SamplerArguments).teacher_url:
        return name or str(policy)
    if name:
        return check_model_path("model_name_or_path", name)
    return check_model_folder("model_name_or_path", policy)


def teacher_fingerprint(teacher: str, args: SamplerArguments) -> str | None:
    """What identifies the teacher: its weights, or its name and address."""
    return f"{teacher} at {args.teacher_url}" if args.teacher_url else model_sha256(teacher)


def sampling_config(config: Config) -> dict[str, object]:
    """The keys that decide what is sampled; those of selection, vLLM and endpoints may change.

    `batch_size` decides too, because each batch has its own seed; and so does the backend.
    """
    sampling = config.resolve(GenerateArguments, SamplingArguments, ModelConfig, RunArguments)
    return sampling | {"teacher": config.parse(SamplerArguments).teacher}


if __name__ == "__main__":
    run_stage(main)
