"""Samples and scores completions of questions into a JSONL file: shared by `generate` and `evaluate`.

A run that is started again samples only what the file lacks.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.files import append_jsonl, read_jsonl, replace_jsonl
from recipes.core.generation.samplers import Sampler
from recipes.core.generation.sampling import Completion, SamplingArguments, batches
from recipes.core.generation.types import Sample
from recipes.core.runtime.console import progress_display
from recipes.core.runtime.device import process_state
from recipes.core.runtime.watchdog import report_activity
from rewards import Reward, score_completions

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

SampleKey = tuple[str, int]  # question_id and sample_index

# Every batch has its own seed, far from those of other runs with a neighbouring seed.
SEED_STRIDE = 1_000_003


@dataclass(frozen=True)
class SamplingJob:
    """Which completions are wanted, how they are scored, and where they are written.

    Attributes:
        questions: with the columns `question_id` (unique), `question`, `answer`, `prompt`, and any
            others that the scorers look at.
        scorers: rewards by the field that takes their score; one of them is `correct`.
        file: the JSONL file of `Sample` rows.
        batch_size: completions sampled at once, per process.
        label: what the progress bar calls the job.
    """

    questions: "Dataset"
    sampling: SamplingArguments
    scorers: Mapping[str, Reward]
    file: Path
    seed: int
    batch_size: int
    label: str


@dataclass
class SamplingStats:
    """What this process sampled, and how long it took."""

    completions: int = 0
    tokens: int = 0
    correct: int = 0
    failed: int = 0
    seconds: float = 0.0

    def add(self, samples: Sequence[Sample], failed: int) -> None:
        """Counts one batch; `failed` requests came back without a completion."""
        self.completions += len(samples)
        self.tokens += sum(sample["tokens"] for sample in samples)
        self.correct += sum(sample["correct"] == 1.0 for sample in samples)
        self.failed += failed

    def progress(self) -> str:
        """The end of the progress bar."""
        speed = self.tokens / max(self.seconds, 1e-9)
        accuracy = self.correct / max(1, self.completions)
        return f"{self.tokens} tokens, {speed:.0f}/s, {accuracy:.1%} correct"

    def summary(self) -> dict[str, float]:
        """What the manifest keeps; empty if nothing was missing."""
        if not self.completions:
            return {}
        return {
            "completions": self.completions,
            "tokens": self.tokens,
            "tokens_per_second": round(self.tokens / self.seconds, 1),
            "seconds_per_completion": round(self.seconds / self.completions, 6),
        }


@dataclass(frozen=True)
class _Batch:
    """One batch: its number, and the (row of the dataset, sample_index) of each completion."""

    number: int
    samples: list[tuple[int, int]]


def collect_samples(sampler: Sampler, job: SamplingJob) -> tuple[list[Sample], dict[str, float]]:
    """Appends every scored completion that the job's file lacks, and sorts the file at the end.

    Each process samples its share of the batches. Requests that fail are counted and left for the
    next start. A batch always holds the same questions, so that a local model samples the same
    completions whenever and wherever it runs.

    Returns:
        All samples in the order of the questions, and `SamplingStats.summary()` of this process.
    """
    state = process_state()
    existing = {_key(row) for row in read_jsonl(job.file)}
    state.wait_for_everyone()  # until every process has read the file

    # Sample, score and append, one batch at a time: a kill loses one batch at most.
    stats = SamplingStats()
    _log_header(sampler, job)
    pending = _pending_batches(job, existing, sampler.batch_dependent)
    started = time.perf_counter()
    hidden = not state.is_main_process
    with progress_display(job.label, len(pending), hidden) as progress:
        for batch in pending:
            report_activity(f"sampling and scoring batch {batch.number}")
            samples = _run_batch(sampler, job, batch)
            append_jsonl(job.file, [s for s in samples if _key(s) not in existing])
            stats.add(samples, failed=len(batch.samples) - len(samples))
            stats.seconds = time.perf_counter() - started
            progress.update(stats.progress())
    if stats.failed:
        total = stats.failed + stats.completions
        logger.warning(
            "%d of %d requests failed and are left out; run again to retry", stats.failed, total
        )

    # Put the file into the order of the questions once all processes have finished.
    report_activity("waiting for the other processes to finish sampling")
    state.wait_for_everyone()
    ordered = _read_in_order(job)
    state.wait_for_everyone()  # until every process has read the file
    if state.is_main_process:
        replace_jsonl(job.file, ordered)
    return ordered, stats.summary()


def _log_header(sampler: Sampler, job: SamplingJob) -> None:
    """Logs what is sampled from which model, and where the samples go."""
    parameters = sampler.metadata.get("parameters")
    size = f" ({parameters:,} parameters)" if parameters else ""
    logger.info(
        "%s: %d x %d samples of %s%s; writes %s",
        job.label,
        len(job.questions),
        job.sampling.num_generations,
        sampler.metadata["model"],
        size,
        job.file,
    )


def _pending_batches(
    job: SamplingJob, existing: set[SampleKey], batch_dependent: bool
) -> list[_Batch]:
    """This process's share of the batches that lack a sample.

    Args:
        batch_dependent: a completion depends on the rest of its batch, so that a batch is sampled
            as a whole even if only some of it is missing.
    """
    # Prompts of similar length need little padding; with the longest first, running out of memory
    # happens in the first batch.
    lengths = [len(str(prompt)) for prompt in job.questions["prompt"]]
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])

    state = process_state()
    identities = list(job.questions["question_id"])
    per_question = job.sampling.num_generations
    pending = []
    for number, positions in enumerate(batches(len(order), max(1, job.batch_size // per_question))):
        if number % state.num_processes != state.process_index:
            continue
        samples = []
        for position in positions:
            samples += [(order[position], index) for index in range(per_question)]
        missing = [(row, i) for row, i in samples if (identities[row], i) not in existing]
        if missing:
            pending.append(_Batch(number, samples if batch_dependent else missing))
    return pending


def _run_batch(sampler: Sampler, job: SamplingJob, batch: _Batch) -> list[Sample]:
    """Samples one batch and scores its completions; failed requests are left out."""
    rows = [job.questions[row] | {"sample_index": index} for row, index in batch.samples]
    # A batch has its own seed, so a resumed run samples what an unbroken one does.
    seed = job.seed * SEED_STRIDE + batch.number
    completions = sampler.sample(rows, job.sampling, seed)

    answered_rows = []
    samples = []
    # An endpoint may fail to answer; those samples are asked for again later.
    for row, completion in zip(rows, completions, strict=True):
        if completion is not None:
            answered_rows.append(row)
            samples.append(_make_sample(row, completion))
    score_samples(samples, answered_rows, job.scorers)
    return samples


def _make_sample(row: Mapping[str, Any], completion: Completion) -> Sample:
    return Sample(
        question_id=row["question_id"],
        sample_index=row["sample_index"],
        question=row["question"],
        answer=row["answer"],
        prompt=row["prompt"],
        completion=completion.text.strip(),
        tokens=completion.tokens,
        finished=completion.finished,
    )


def score_samples(
    samples: list[Sample], rows: Sequence[Mapping[str, Any]], scorers: Mapping[str, Reward]
) -> None:
    """Adds the score of each scorer to each sample; scorers also see the columns of `rows`."""
    completions = [sample["completion"] for sample in samples]
    for name, reward in scorers.items():
        scores = score_completions(reward, name, completions, rows).scores
        for sample, score in zip(samples, scores, strict=True):
            sample[name] = score  # type: ignore[literal-required]  # `correct`, `format`, ...


def _read_in_order(job: SamplingJob) -> list[Sample]:
    """The samples of the file in the order of the questions.

    A killed launcher can leave processes behind that keep sampling; their duplicates are identical.
    """
    position = {identity: index for index, identity in enumerate(job.questions["question_id"])}
    samples: dict[tuple[int, int], Any] = {}
    for row in read_jsonl(job.file):
        samples[position[row["question_id"]], row["sample_index"]] = row
    return [samples[key] for key in sorted(samples)]


def _key(row: Mapping[str, Any]) -> SampleKey:
    return row["question_id"], row["sample_index"]
