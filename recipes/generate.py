"""The trained policy as teacher: it answers the training questions, and what is right and well-formed becomes a trace.

    accelerate launch recipes/generate.py --config recipes/arithmetic/generate.yaml [--key value ...]

Reads `policy/` (or any model, with `model_name_or_path`) and the training questions. Leaves, under outputs/<recipe>/,
`traces.jsonl`: one row for every sample, right or not, keyed by question and sample; `kept` marks the traces that `sft` learns
from. Started again, it goes on where it stopped; a torn last line is done again.
"""

import hashlib
import time
from dataclasses import dataclass, field

from trl import ModelConfig

import rewards
from recipes.core import config as configuration
from recipes.core import data, jsonl, manifest, models, prompts, resume
from recipes.core.config import StageArguments, UserError
from recipes.core.sampling import SamplingArguments, batches, complete
from recipes.core.stage import run


@dataclass
class GenerateArguments(data.DataArguments):
    """Keys of this stage."""

    batch_size: int = field(default=64, metadata={"help": "Completions drawn at once, per process."})
    verdict: str = field(default="accuracy", metadata={"help": "The reward that says whether an answer is right."})


def main() -> None:
    started = time.time()
    config = configuration.load("generate", GenerateArguments, SamplingArguments, ModelConfig, StageArguments)
    args, sampling, model_args, stage = (
        config.parse(cls) for cls in (GenerateArguments, SamplingArguments, ModelConfig, StageArguments)
    )
    config.print_and_exit(args, sampling, model_args, stage)
    run_dir = config.output_dir(stage)
    teacher = models.check_model("model_name_or_path", model_args.model_name_or_path or str(run_dir / "policy"))
    judges = {"verdict": rewards.named(args.verdict), "format": rewards.named("format")}
    questions = data.load_questions(args, args.dataset_train_split, args.max_train_samples)

    from accelerate import PartialState
    from tqdm import tqdm

    state = PartialState()
    tokenizer = prompts.load_tokenizer(teacher, args.chat_template, revision=model_args.model_revision)
    questions = data.drop_long_prompts(questions, tokenizer, args.max_prompt_length)
    first = {key(row): index for index, row in reversed(list(enumerate(questions)))}
    questions = questions.select(sorted(first.values()))  # a question that the dataset asks twice is answered once
    made_of = {
        "config": config.resolve(args, sampling, model_args, stage),
        "inputs": {"dataset": manifest.fingerprint(questions), "teacher": manifest.model_sha256(teacher)},
    }
    file, manifest_file = run_dir / "traces.jsonl", run_dir / "traces.manifest.json"
    with state.main_process_first():
        resume.refuse_other_run(manifest_file, made_of, f"Remove {file} and {manifest_file} to start anew")
        if state.is_main_process:
            manifest.write(manifest_file, "generate", made_of, started, status="running")
            jsonl.keep(file, lambda row: True)
        done = {(row["key"], row["sample"]) for row in jsonl.read(file)}

    model = models.load_model(teacher, model_args)
    per_batch = max(1, args.batch_size // sampling.num_generations)
    todo = []  # a batch always holds the same questions, so that its seed draws the same completions whenever it is run
    for index, batch in enumerate(batches(len(questions), per_batch)):
        rows = [(questions[i], n) for i in batch for n in range(sampling.num_generations)]
        if index % state.num_processes == state.process_index and any((key(r), n) not in done for r, n in rows):
            todo.append((index, rows))
    for index, rows in tqdm(todo, desc="generate", unit="batch", disable=not state.is_main_process):
        completions = complete(model, tokenizer, [row for row, _ in rows], sampling, judges, stage.seed, index)
        made = [
            {"key": key(row), "sample": n, "question": row["question"], "answer": row["answer"], "prompt": row["prompt"]}
            | completion
            | {"kept": completion["finished"] and all(completion[judge] == 1.0 for judge in judges)}
            for (row, n), completion in zip(rows, completions, strict=True)
            if (key(row), n) not in done
        ]
        jsonl.append(file, made)
    state.wait_for_everyone()
    if not state.is_main_process:
        return
    drawn = jsonl.read(file)
    counts = {
        "drawn": len(drawn),
        "finished": sum(row["finished"] for row in drawn),
        "well_formed": sum(row["format"] == 1.0 for row in drawn),
        "right": sum(row["verdict"] == 1.0 for row in drawn),
        "kept": sum(row["kept"] for row in drawn),
    }
    manifest.write(manifest_file, "generate", made_of, started, status="finished", counts=counts)
    funnel = ", ".join(f"{count} {name.replace('_', '-')}" for name, count in counts.items())
    if not counts["kept"]:
        raise UserError(
            f"{file}: no trace is right and well-formed ({funnel}), so there is nothing to distil. Train the policy longer, "
            "draw more samples (`num_generations`), raise `max_completion_length`, or use a stronger `model_name_or_path`"
        )
    manifest.say("generate", f"{len(questions)} questions and {teacher}", f"{file} ({funnel})", started)


def key(row: dict[str, str]) -> str:
    """What identifies a question in the file."""
    return hashlib.sha256(row["question"].encode()).hexdigest()[:16]


if __name__ == "__main__":
    run(main)
