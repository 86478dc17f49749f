"""Questions in, judged completions in a file out: what `generate` and `evaluate` share."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rewards
from recipes.core import jsonl
from recipes.core.jsonl import Row
from recipes.core.sampling import SamplingArguments, batches
from recipes.core.teachers import Teacher

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


def draw(
    teacher: Teacher,
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

    A row is `{"key", "sample", "question", "answer", "prompt", "completion", "tokens", "finished"}` and a score (or `None`) under
    the name of each of `judges`; `keys` are the questions'. A batch always holds the same questions, so that a local teacher draws
    the same completions whenever and wherever it is run. What the teacher fails to answer is counted, and left for the next start.
    """
    from accelerate import PartialState
    from tqdm import tqdm

    state = PartialState()
    done = {(row["key"], row["sample"]) for row in jsonl.read(file)}
    state.wait_for_everyone()  # until all have read it
    todo = []
    for index, batch in enumerate(batches(len(questions), max(1, batch_size // args.num_generations))):
        samples = [(i, n) for i in batch for n in range(args.num_generations)]
        missing = [(i, n) for i, n in samples if (keys[i], n) not in done]
        if missing and index % state.num_processes == state.process_index:
            todo.append((index, samples if teacher.whole_batches else missing))
    tokens, right, drawn, failed, started = 0, 0, 0, 0, time.perf_counter()
    with tqdm(todo, desc=label, unit="batch", disable=not state.is_main_process) as progress:
        for index, samples in progress:
            rows = [questions[i] | {"key": keys[i], "sample": n} for i, n in samples]
            completions = teacher.answer(rows, args, seed * 1_000_003 + index)
            pairs = [(row, completion) for row, completion in zip(rows, completions, strict=True) if completion]
            answered = [
                {key: row[key] for key in ("key", "sample", "question", "answer", "prompt")}
                | {"completion": completion.text.strip(), "tokens": completion.tokens, "finished": completion.finished}
                for row, completion in pairs
            ]
            judge(answered, [row for row, _ in pairs], judges)
            jsonl.append(file, [row for row in answered if (row["key"], row["sample"]) not in done])
            tokens += sum(row["tokens"] for row in answered)
            drawn, failed = drawn + len(answered), failed + len(rows) - len(answered)
            right += sum(row["verdict"] == 1.0 for row in answered)
            speed = tokens / (time.perf_counter() - started)
            progress.set_postfix_str(f"{speed:.0f} tokens/s, {right / max(1, drawn):.1%} right")
    if failed:
        logger.warning("%d of %d requests failed and are left out; start again to ask again", failed, failed + drawn)
    state.wait_for_everyone()


def judge(answered: list[Row], columns: Sequence[Row], judges: dict[str, rewards.Reward]) -> None:
    """Adds to each row a score (or `None`) under the name of each judge, which sees the columns of the question, too."""
    for name, reward in judges.items():
        scores = rewards.score(reward, name, [row["completion"] for row in answered], columns).scores
        for row, value in zip(answered, scores, strict=True):
            row[name] = value
