"""Questions in, judged completions in a file out: what `generate` and `evaluate` share."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.files import Row, append_jsonl, read_jsonl, replace_jsonl
from recipes.core.generation.samplers import Sampler
from recipes.core.generation.sampling import SamplingArguments, batches
from recipes.core.runtime.device import process_state
from recipes.core.runtime.watchdog import report_activity
from rewards import Reward, score_completions

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SamplingJob:
    """Which completions are wanted, and where.

    Attributes:
        questions: with `question`, `answer`, `prompt` and what else the judges look at.
        keys: of the questions, each another.
        judges: the rewards whose scores are written with each completion, by name; one is `verdict`.
        file: the JSONL file.
        batch_size: completions drawn at once, per process.
    """

    questions: "Dataset"
    keys: Sequence[str]
    sampling: SamplingArguments
    judges: dict[str, Reward]
    file: Path
    seed: int
    batch_size: int


def collect_samples(
    teacher: Sampler, wanted: SamplingJob, label: str
) -> tuple[list[Row], dict[str, float]]:
    """Appends to the file every judged completion that it lacks, and sorts it at the end. Each process draws its share of the
    batches. What the teacher fails to answer is counted, and left for the next start.

    A row is `{"key", "sample", "question", "answer", "prompt", "completion", "tokens", "finished"}` and a score (or `None`) under
    the name of each judge. A batch always holds the same questions, so that a local teacher draws the same completions whenever and
    wherever it is run.

    Returns:
        All rows, in the order of the questions; and what this process has drawn, if anything: `completions`, `tokens`,
        `tokens_per_second`, `seconds_per_completion`.
    """
    from tqdm import tqdm

    state, n = process_state(), wanted.sampling.num_generations
    done = {(row["key"], row["sample"]) for row in read_jsonl(wanted.file)}
    state.wait_for_everyone()  # until all have read it
    # Prompts of about one length need little padding; the longest come first, so that what does not fit shows at once.
    lengths = [len(str(prompt)) for prompt in wanted.questions["prompt"]]
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    todo = []
    for number, batch in enumerate(batches(len(order), max(1, wanted.batch_size // n))):
        samples = [(order[place], sample) for place in batch for sample in range(n)]
        missing = [
            (index, sample) for index, sample in samples if (wanted.keys[index], sample) not in done
        ]
        if missing and number % state.num_processes == state.process_index:
            todo.append((number, samples if teacher.whole_batches else missing))
    tokens, right, drawn, failed, started = 0, 0, 0, 0, time.perf_counter()
    with tqdm(todo, desc=label, unit="batch", disable=not state.is_main_process) as progress:
        for number, samples in progress:
            report_activity(f"drawing and judging batch {number}")
            rows = [
                wanted.questions[index] | {"key": wanted.keys[index], "sample": sample}
                for index, sample in samples
            ]
            completions = teacher.answer(rows, wanted.sampling, wanted.seed * 1_000_003 + number)
            pairs = [
                (row, completion)
                for row, completion in zip(rows, completions, strict=True)
                if completion
            ]
            answered = [
                {key: row[key] for key in ("key", "sample", "question", "answer", "prompt")}
                | {
                    "completion": completion.text.strip(),
                    "tokens": completion.tokens,
                    "finished": completion.finished,
                }
                for row, completion in pairs
            ]
            score_samples(answered, [row for row, _ in pairs], wanted.judges)
            append_jsonl(
                wanted.file, [row for row in answered if (row["key"], row["sample"]) not in done]
            )
            tokens += sum(row["tokens"] for row in answered)
            drawn, failed = drawn + len(answered), failed + len(rows) - len(answered)
            right += sum(row["verdict"] == 1.0 for row in answered)
            speed = tokens / (time.perf_counter() - started)
            progress.set_postfix_str(
                f"{tokens} tokens, {speed:.0f}/s, {right / max(1, drawn):.1%} right"
            )
    seconds = time.perf_counter() - started
    if failed:
        logger.warning(
            "%d of %d requests failed and are left out; start again to ask again",
            failed,
            failed + drawn,
        )
    report_activity("waiting until all have drawn")
    state.wait_for_everyone()
    place = {key: index for index, key in enumerate(wanted.keys)}
    # A killed launcher can leave processes behind that go on drawing: what is there twice is the same, and stays once.
    rows_by_key = {(place[row["key"]], row["sample"]): row for row in read_jsonl(wanted.file)}
    ordered = [rows_by_key[key] for key in sorted(rows_by_key)]
    state.wait_for_everyone()  # until all have read it
    if state.is_main_process:
        replace_jsonl(wanted.file, ordered)
    if not drawn:
        return ordered, {}
    return ordered, {
        "completions": drawn,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "seconds_per_completion": round(seconds / drawn, 6),
    }


def score_samples(answered: list[Row], columns: Sequence[Row], judges: dict[str, Reward]) -> None:
    """Adds to each row a score (or `None`) under the name of each judge, which sees the columns of the question, too."""
    for name, reward in judges.items():
        scores = score_completions(
            reward, name, [row["completion"] for row in answered], columns
        ).scores
        for row, value in zip(answered, scores, strict=True):
            row[name] = value
