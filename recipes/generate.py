"""The trained policy as teacher: it answers the training questions, and the best of what is right becomes traces to learn from.

    accelerate launch recipes/generate.py --config recipes/arithmetic/generate.yaml [--key value ...]

Reads `policy/` (or any model, with `model_name_or_path`, on this machine or behind a `teacher_url`) and the training questions.
Leaves, under outputs/<recipe>/, `generations.jsonl`: one row for every sample, right or not, keyed by question and sample; and
`traces.jsonl`: those that `sft` learns from. Started again, it goes on where it stopped; a torn last line is done again.
"""

import hashlib
import time
from dataclasses import dataclass, field

from trl import ModelConfig

from recipes.core.config.config import load_config
from recipes.core.config.stage import RunArguments
from recipes.core.data.benchmarks import BenchmarkArguments
from recipes.core.data.decontaminate import benchmark_questions
from recipes.core.data.filters import drop_long_prompts
from recipes.core.data.questions import load_questions
from recipes.core.distillation.select_traces import TraceArguments, require_traces, select_traces
from recipes.core.files import filter_jsonl, replace_jsonl
from recipes.core.generation.collect import SamplingJob, collect_samples
from recipes.core.generation.samplers import (
    EndpointSampler,
    Sampler,
    SamplerArguments,
    TransformersSampler,
)
from recipes.core.generation.sampling import SamplingArguments
from recipes.core.generation.vllm_sampler import VLLMSampler
from recipes.core.models.loading import load_model
from recipes.core.preflight.model import check_model_path, check_not_quantised
from recipes.core.prompts.tokenizer import load_tokenizer
from recipes.core.runs.fingerprints import dataset_fingerprint, model_sha256
from recipes.core.runs.manifest import log_summary, read_manifest, write_manifest
from recipes.core.runs.resume import require_same_run
from recipes.core.runtime.device import process_state
from recipes.core.runtime.entrypoint import run_stage
from rewards import get_reward


@dataclass
class GenerateArguments(BenchmarkArguments):
    """Keys of this stage."""

    batch_size: int = field(
        default=64, metadata={"help": "Completions drawn at once, per process."}
    )
    verdict: str = field(
        default="accuracy", metadata={"help": "The reward that says whether an answer is right."}
    )


def main() -> None:
    started = time.time()
    kinds = (
        GenerateArguments,
        SamplingArguments,
        SamplerArguments,
        TraceArguments,
        ModelConfig,
        RunArguments,
    )
    config = load_config("generate", *kinds)
    args, sampling, teaching, choice, model_args, stage = (config.parse(cls) for cls in kinds)
    config.print_and_exit(args, sampling, teaching, choice, model_args, stage)
    check_not_quantised(model_args)
    run_dir = config.output_dir(stage)
    name = model_args.model_name_or_path or str(run_dir / "policy")
    local = teaching.teacher != "endpoint"
    if local:
        check_model_path("model_name_or_path", name)
    judges = {"verdict": get_reward(args.verdict), "format": get_reward("format")}
    questions = load_questions(args, args.dataset_train_split, args.max_train_samples)
    held_out = benchmark_questions(args, config.source) if choice.decontaminate else []

    state = process_state()
    if local:
        tokenizer = load_tokenizer(name, args.chat_template, revision=model_args.model_revision)
        questions = drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    first = {key(row): index for index, row in reversed(list(enumerate(questions)))}
    questions = questions.select(
        sorted(first.values())
    )  # a question that the dataset asks twice is answered once
    made_of = {
        "config": config.resolve(args, sampling, model_args, stage) | {"teacher": teaching.teacher},
        "inputs": {
            "dataset": dataset_fingerprint(questions),
            "teacher": model_sha256(name) if local else f"{name} at {teaching.teacher_url}",
        },
    }
    file, manifest_file = run_dir / "generations.jsonl", run_dir / "generations.manifest.json"
    before = read_manifest(manifest_file)
    with state.main_process_first():
        require_same_run(manifest_file, made_of, f"Remove {file} and {manifest_file} to start anew")
        if state.is_main_process:
            write_manifest(
                manifest_file,
                "generate",
                made_of,
                started,
                status="running",
                drawn=before.get("drawn", {}),
            )
            filter_jsonl(file, lambda row: True)

    teacher: Sampler
    if teaching.teacher_url:
        teacher = EndpointSampler(teaching.teacher_url, name, teaching)
    elif teaching.teacher == "vllm":
        teacher = VLLMSampler(name, model_args, tokenizer, teaching)
    else:
        teacher = TransformersSampler(load_model(name, model_args), tokenizer)
    wanted = SamplingJob(
        questions,
        [key(row) for row in questions],
        sampling,
        judges,
        file,
        stage.seed,
        args.batch_size,
    )
    rows, drawn = collect_samples(teacher, wanted, "generate")
    if not state.is_main_process:
        return
    write_manifest(
        manifest_file,
        "generate",
        made_of,
        started,
        status="finished",
        drawn=drawn or before.get("drawn", {}),
    )
    traces, funnel = select_traces(rows, choice, held_out, stage.seed)
    require_traces(file, funnel)
    replace_jsonl(run_dir / "traces.jsonl", traces)
    made_of["config"] |= config.resolve(choice)
    write_manifest(
        run_dir / "traces.manifest.json",
        "generate",
        made_of,
        started,
        status="finished",
        funnel=funnel,
    )
    steps = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in funnel.items())
    log_summary(
        "generate",
        f"{len(questions)} questions and {name}",
        f"{run_dir}/traces.jsonl ({steps})",
        started,
    )


def key(row: dict[str, str]) -> str:
    """What identifies a question in the file."""
    return hashlib.sha256(row["question"].encode()).hexdigest()[:16]


if __name__ == "__main__":
    run_stage(main)
