"""Drawing completions from a model and judging them: what `generate` and `evaluate` share."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rewards
from recipes.core import jsonl
from recipes.core.prompts import completion_prefix, render

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class SamplingArguments:
    """How completions are drawn. The names are GRPOConfig's; written beside every score and every trace."""

    num_generations: int = field(default=4, metadata={"help": "Completions per question."})
    max_completion_length: int = field(default=1024, metadata={"help": "Longest completion, in tokens."})
    temperature: float = field(default=1.0, metadata={"help": "0 is greedy."})
    top_p: float = field(default=1.0, metadata={"help": "Nucleus sampling; 1.0 is off."})
    top_k: int = field(default=0, metadata={"help": "0 is off."})


@dataclass(frozen=True)
class Completion:
    """One completion: its text without special tokens, its length in tokens, and whether the model ended it itself."""

    text: str
    tokens: int
    finished: bool


def draw(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: "Dataset",
    keys: Sequence[str],
    args: SamplingArguments,
    judges: dict[str, rewards.Reward],
    file: Path,
    seed: int,
    batch_size: int,
    label: str,
) -> None:
    """Appends to `file` every judged completion of `questions` that it lacks. Each process draws its share of the batches.

    A row is `{"key", "sample", "question", "answer", "prompt"}` and what `complete` returns; `keys` are the questions'. A batch
    always holds the same questions, so that it draws the same completions whenever and wherever it is run.
    """
    from accelerate import PartialState
    from tqdm import tqdm

    state = PartialState()
    done = {(row["key"], row["sample"]) for row in jsonl.read(file)}
    state.wait_for_everyone()  # until all have read it
    todo = []
    for index, batch in enumerate(batches(len(questions), max(1, batch_size // args.num_generations))):
        rows = [(keys[i], n, questions[i]) for i in batch for n in range(args.num_generations)]
        if index % state.num_processes == state.process_index and any((key, n) not in done for key, n, _ in rows):
            todo.append((index, rows))
    tokens, right, drawn, started = 0, 0, 0, time.perf_counter()
    with tqdm(todo, desc=label, unit="batch", disable=not state.is_main_process) as progress:
        for index, rows in progress:
            completions = complete(model, tokenizer, [row for _, _, row in rows], args, judges, seed, index)
            made = [
                {"key": key, "sample": n, "question": row["question"], "answer": row["answer"], "prompt": row["prompt"]}
                | completion
                for (key, n, row), completion in zip(rows, completions, strict=True)
                if (key, n) not in done
            ]
            jsonl.append(file, made)
            tokens += sum(completion["tokens"] for completion in completions)
            drawn += len(completions)
            right += sum(completion["verdict"] == 1.0 for completion in completions)
            progress.set_postfix_str(f"{tokens / (time.perf_counter() - started):.0f} tokens/s, {right / drawn:.1%} right")
    state.wait_for_everyone()


def complete(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[dict[str, Any]],
    args: SamplingArguments,
    judges: dict[str, rewards.Reward],
    seed: int,
    batch: int,
) -> list[dict[str, Any]]:
    """One judged completion for each of `rows`: `completion`, `tokens`, `finished`, and a score (or `None`) under the name of
    each of `judges`. What is drawn depends on `seed`, `batch` and the rows alone."""
    prompts = [render(tokenizer, row["prompt"]) for row in rows]
    prefix = completion_prefix(tokenizer)
    drawn = sample(model, tokenizer, prompts, args, seed=seed * 1_000_003 + batch)
    texts = [prefix + completion.text for completion in drawn]
    scores = {name: rewards.score(judge, name, texts, rows).scores for name, judge in judges.items()}
    return [
        {"completion": text.strip(), "tokens": completion.tokens, "finished": completion.finished}
        | {name: values[index] for name, values in scores.items()}
        for index, (text, completion) in enumerate(zip(texts, drawn, strict=True))
    ]


def sample(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: list[str],
    args: SamplingArguments,
    seed: int,
) -> list[Completion]:
    """One completion for each of `prompts` (rendered text), in their order; one batch. The same seed and the same batch give
    the same completions."""
    import torch

    torch.manual_seed(seed)
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    ends = _end_ids(model, tokenizer)
    settings: dict[str, Any] = {"do_sample": args.temperature > 0}
    if args.temperature > 0:
        settings |= {"temperature": args.temperature, "top_p": args.top_p, "top_k": args.top_k}
    with torch.inference_mode():
        generate: Any = model.generate  # transformers' types confuse it with a tensor
        output = generate(
            **inputs, max_new_tokens=args.max_completion_length, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, **settings
        )
    completions = []
    for ids in output[:, inputs["input_ids"].shape[1] :].tolist():
        length = next((i for i, token in enumerate(ids) if token in ends), None)
        kept = ids if length is None else ids[: length + 1]
        completions.append(Completion(str(tokenizer.decode(kept, skip_special_tokens=True)), len(kept), length is not None))
    return completions


def batches(total: int, size: int) -> Iterator[range]:
    """The indices 0 to `total`, in runs of at most `size`."""
    for start in range(0, total, size):
        yield range(start, min(start + size, total))


def _end_ids(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    ends = model.generation_config.eos_token_id
    return sorted({tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [] if ends is None else [ends])})
