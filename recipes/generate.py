"""The trained policy as teacher: it answers the training questions, and the best of what is right becomes traces to learn from.

    accelerate launch recipes/generate.py --config recipes/arithmetic/generate.yaml [--key value ...]

Reads `policy/` (or any model, with `model_name_or_path`, on this machine or behind a `teacher_url`) and the training questions.
Leaves, under outputs/<recipe>/, `generations.jsonl`: one row for every sample, right or not, keyed by question and sample; and
`traces.jsonl`: those that `sft` learns from. Started again, it goes on where it stopped; a torn last line is done again.
"""

import hashlib
import logging
import time
from dataclasses import dataclass, field

from trl import ModelConfig

import rewards
from recipes.core import files as jsonl
from recipes.core.config import config as configuration
from recipes.core.config.config import StageArguments, UserError
from recipes.core.data import questions as data
from recipes.core.distillation.select_traces import TraceArguments, check, select
from recipes.core.generation.collect import Drawing, draw
from recipes.core.generation.samplers import EndpointTeacher, LocalTeacher, Teacher, TeacherArguments
from recipes.core.generation.sampling import SamplingArguments
from recipes.core.generation.vllm_sampler import VllmTeacher
from recipes.core.models import loading as models
from recipes.core.prompts import tokenizer as prompts
from recipes.core.runs import manifest, resume
from recipes.core.runtime.device import process_state
from recipes.core.runtime.entrypoint import run

logger = logging.getLogger(__name__)


@dataclass
class GenerateArguments(data.EvaluationArguments):
    """Keys of this stage."""

    batch_size: int = field(default=64, metadata={"help": "Completions drawn at once, per process."})
    verdict: str = field(default="accuracy", metadata={"help": "The reward that says whether an answer is right."})


def main() -> None:
    started = time.time()
    kinds = (GenerateArguments, SamplingArguments, TeacherArguments, TraceArguments, ModelConfig, StageArguments)
    config = configuration.load("generate", *kinds)
    args, sampling, teaching, choice, model_args, stage = (config.parse(cls) for cls in kinds)
    config.print_and_exit(args, sampling, teaching, choice, model_args, stage)
    models.check_whole(model_args)
    run_dir = config.output_dir(stage)
    name = model_args.model_name_or_path or str(run_dir / "policy")
    local = teaching.teacher != "endpoint"
    if local:
        models.check_model("model_name_or_path", name)
    judges = {"verdict": rewards.named(args.verdict), "format": rewards.named("format")}
    questions = data.load_questions(args, args.dataset_train_split, args.max_train_samples)
    held_out = held_out_questions(args, config.source) if choice.decontaminate else []

    state = process_state()
    if local:
        tokenizer = prompts.load_tokenizer(name, args.chat_template, revision=model_args.model_revision)
        questions = data.drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    first = {key(row): index for index, row in reversed(list(enumerate(questions)))}
    questions = questions.select(sorted(first.values()))  # a question that the dataset asks twice is answered once
    made_of = {
        "config": config.resolve(args, sampling, model_args, stage) | {"teacher": teaching.teacher},
        "inputs": {
            "dataset": manifest.fingerprint(questions),
            "teacher": manifest.model_sha256(name) if local else f"{name} at {teaching.teacher_url}",
        },
    }
    file, manifest_file = run_dir / "generations.jsonl", run_dir / "generations.manifest.json"
    before = manifest.read(manifest_file)
    with state.main_process_first():
        resume.refuse_other_run(manifest_file, made_of, f"Remove {file} and {manifest_file} to start anew")
        if state.is_main_process:
            manifest.write(manifest_file, "generate", made_of, started, status="running", drawn=before.get("drawn", {}))
            jsonl.keep(file, lambda row: True)

    teacher: Teacher
    if teaching.teacher_url:
        teacher = EndpointTeacher(teaching.teacher_url, name, teaching)
    elif teaching.teacher == "vllm":
        teacher = VllmTeacher(name, model_args, tokenizer, teaching)
    else:
        teacher = LocalTeacher(models.load_model(name, model_args), tokenizer)
    wanted = Drawing(questions, [key(row) for row in questions], sampling, judges, file, stage.seed, args.batch_size)
    rows, drawn = draw(teacher, wanted, "generate")
    if not state.is_main_process:
        return
    manifest.write(manifest_file, "generate", made_of, started, status="finished", drawn=drawn or before.get("drawn", {}))
    traces, funnel = select(rows, choice, held_out, stage.seed)
    check(file, funnel)
    jsonl.replace(run_dir / "traces.jsonl", traces)
    made_of["config"] |= config.resolve(choice)
    manifest.write(run_dir / "traces.manifest.json", "generate", made_of, started, status="finished", funnel=funnel)
    steps = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in funnel.items())
    manifest.say("generate", f"{len(questions)} questions and {name}", f"{run_dir}/traces.jsonl ({steps})", started)


def held_out_questions(args: GenerateArguments, source: str) -> list[str]:
    """The questions of every set for evaluation but those that are trained on; a set that cannot be read is left out, with a word
    about it."""
    questions: list[str] = []
    for name, one in data.evaluation_sets(args, source).items():
        if (one.dataset_name, one.dataset_config, one.dataset_test_split) != (
            args.dataset_name, args.dataset_config, args.dataset_train_split,
        ):  # fmt: skip
            try:
                questions += data.load_questions(one, one.dataset_test_split)["question"]
            except UserError as error:
                logger.warning("the traces are not compared with the set %s: %s", name, error)
    return questions


def key(row: dict[str, str]) -> str:
    """What identifies a question in the file."""
    return hashlib.sha256(row["question"].encode()).hexdigest()[:16]


if __name__ == "__main__":
    run(main)
