"""Rejection sampling: the teacher answers the training questions, and good answers become traces.

    accelerate launch recipes/generate.py --config recipes/arithmetic/generate.yaml [--key value ...]

Reads    questions with answers, and a teacher (policy/ of the run by default)
Writes   outputs/<recipe>/generations.jsonl   every completion of the teacher with its scores
         outputs/<recipe>/traces.jsonl        those that a student learns from
Resumes  with the completions that are missing when the same command is run again
"""

from dataclasses import dataclass, replace

from trl import ModelConfig

from recipes.core.config import Config, RunArguments, StageSpec, load_config
from recipes.core.data import (
    BenchmarkArguments,
    benchmark_questions,
    drop_duplicates,
    drop_long_prompts,
    load_questions,
)
from recipes.core.distillation import TraceArguments, require_traces, select_traces
from recipes.core.files import replace_jsonl
from recipes.core.generation import (
    SamplerArguments,
    SamplingArguments,
    SamplingJob,
    collect_samples,
    open_sampler,
)
from recipes.core.preflight import check_model_path, fail_fast
from recipes.core.runs import Provenance, SamplingRun, log_summary, refuse_changes
from recipes.core.runs.fingerprints import dataset_fingerprint, model_sha256
from recipes.core.runs.manifest import write_manifest
from recipes.core.runtime.device import process_state
from recipes.core.runtime.entrypoint import run_stage
from rewards import get_reward


@dataclass
class GenerateArguments(BenchmarkArguments):
    """Keys of this stage; recipes/defaults/generate.yaml explains each."""

    batch_size: int = 64
    correctness_reward: str = "accuracy"


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


def main() -> None:
    config = load_config(STAGE)
    args = config.parse(GenerateArguments)
    selection = config.parse(TraceArguments)
    seed = config.parse(RunArguments).seed

    # Mistakes that can be found within a second: the teacher's path, rewards, a missing dataset.
    fail_fast(config)
    teacher = teacher_name(config)
    questions = load_questions(args, args.dataset_train_split, args.max_train_samples)
    held_out = benchmark_questions(args, config.source) if selection.decontaminate else []

    # Sample: every question is answered `num_generations` times, and every answer is scored.
    with open_sampler(
        teacher, config.parse(ModelConfig), config.parse(SamplerArguments), args.chat_template
    ) as sampler:
        if sampler.tokenizer:
            questions = drop_long_prompts(questions, sampler.tokenizer, args.max_prompt_length)
        questions = drop_duplicates(questions)
        provenance = Provenance(
            config=sampling_config(config),
            inputs={
                "dataset": dataset_fingerprint(questions),
                "teacher": teacher_fingerprint(config),
            },
        )
        job = SamplingJob(
            questions,
            sampling=config.parse(SamplingArguments),
            scorers={
                "correct": get_reward(args.correctness_reward),
                "format": get_reward("format"),
            },
            file=config.run_dir / "generations.jsonl",
            seed=seed,
            batch_size=args.batch_size,
            label="generate",
        )
        with SamplingRun("generate", job.file, provenance, on_change=refuse_changes) as run:
            samples, stats = collect_samples(sampler, job)
            run.stats = stats or run.stats
    if not process_state().is_main_process:
        return

    # Select: finished, correct and well-formed samples that a student can learn from.
    traces, funnel = select_traces(samples, selection, held_out, seed)
    require_traces(job.file, funnel)
    replace_jsonl(config.run_dir / "traces.jsonl", traces)
    write_manifest(
        config.run_dir / "traces.manifest.json",
        "generate",
        replace(provenance, config=provenance.config | config.resolve(TraceArguments)),
        config.started,
        status="finished",
        funnel=funnel,
    )
    counts = ", ".join(f"{count} {step.replace('_', ' ')}" for step, count in funnel.items())
    wrote = f"{config.run_dir}/traces.jsonl ({counts})"
    log_summary("generate", f"{len(questions)} questions and {teacher}", wrote, config.started)


def teacher_name(config: Config) -> str:
    """Folder, hub id or name at an endpoint of the teacher."""
    name = config.parse(ModelConfig).model_name_or_path or str(config.run_dir / "policy")
    if config.parse(SamplerArguments).teacher_url:
        return name
    return check_model_path("model_name_or_path", name)


def teacher_fingerprint(config: Config) -> str | None:
    """What identifies the teacher: its weights, or its address."""
    teacher = teacher_name(config)
    url = config.parse(SamplerArguments).teacher_url
    return f"{teacher} at {url}" if url else model_sha256(teacher)


def sampling_config(config: Config) -> dict[str, object]:
    """The keys that decide what is sampled; those about speed and selection may change."""
    sampling = config.resolve(GenerateArguments, SamplingArguments, ModelConfig, RunArguments)
    return sampling | {"teacher": config.parse(SamplerArguments).teacher}


if __name__ == "__main__":
    run_stage(main)
