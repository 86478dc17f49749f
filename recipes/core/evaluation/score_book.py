"""The scores of several models on several benchmarks, and paired tests of the models."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from recipes.core.data.benchmarks import HELD_OUT
from recipes.core.evaluation.metrics import (
    PairedTest,
    compare_paired,
    question_accuracy,
    summarize_scores,
)
from recipes.core.generation.types import Sample

# The comparisons that the story of a recipe is about, as (first, second): what RL adds to the base
# model, what distillation adds to the student's base, and how close the student comes to its
# teacher. Other pairs, such as the student's base and the policy, answer no question.
NAMED_PAIRS = (("base", "policy"), ("student_base", "student"), ("policy", "student"))

# `Scores` of a model, its metadata, and `greedy_accuracy` where that was sampled.
ModelScores = dict[str, Any]


class BenchmarkScores(TypedDict):
    """One benchmark in scores.json."""

    models: dict[str, ModelScores]
    paired: dict[str, PairedTest]  # by name, such as "policy - base"


class ScoreBook:
    """Filled by `evaluate`, one model on one benchmark at a time.

    Attributes:
        scores: by benchmark and model, in the order in which they were added.
        speeds: tokens per second of each model on the held-out questions, where it was measured.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.scores: dict[str, dict[str, ModelScores]] = {}
        self.speeds: dict[str, float] = {}
        self._question_accuracy: dict[str, dict[str, dict[str, float]]] = {}
        self._paired: dict[str, dict[str, PairedTest]] = {}

    @property
    def main_benchmark(self) -> str:
        """The benchmark of the main table: the held-out questions or, without them, the first."""
        return HELD_OUT if HELD_OUT in self.scores else next(iter(self.scores))

    def add(
        self,
        model: str,
        benchmark: str,
        samples: Sequence[Sample],
        metadata: Mapping[str, Any],
    ) -> None:
        """Adds the samples of a model on a benchmark.

        Args:
            metadata: describes the model: `model`, `parameters`, `weights_mb`, `template`.
        """
        scores = summarize_scores(samples, self.seed)
        self.scores.setdefault(benchmark, {})[model] = {**scores, **metadata}

        # A paired test needs the accuracy of each question, which scores.json does not have.
        accuracies = question_accuracy(samples)
        self._question_accuracy.setdefault(benchmark, {})[model] = accuracies
        self._paired.pop(benchmark, None)

    def add_greedy(self, model: str, benchmark: str, samples: Sequence[Sample]) -> None:
        """Adds the greedy completions of a model that `add` has added before."""
        accuracy = summarize_scores(samples, self.seed)["accuracy"]
        self.scores[benchmark][model]["greedy_accuracy"] = accuracy

    def add_speed(self, model: str, benchmark: str, stats: Mapping[str, float]) -> None:
        """Adds the speed of sampling; `stats` is empty if nothing was sampled.

        Speeds are printed, but are no part of scores.json, which is the same in every run.
        """
        if benchmark == HELD_OUT and stats:
            self.speeds[model] = stats["tokens_per_second"]

    def paired(self, benchmark: str) -> dict[str, PairedTest]:
        """Paired tests of the `NAMED_PAIRS` that were evaluated.

        If there is none of them, each model is compared with the one before it. Models that share
        no answered question cannot be compared.
        """
        # The resampling takes seconds; scores.json and the table need the same tests.
        if benchmark not in self._paired:
            self._paired[benchmark] = self._compare_models(benchmark)
        return self._paired[benchmark]

    def to_dict(self) -> dict[str, BenchmarkScores]:
        """The document of scores.json."""
        document = {}
        for benchmark, models in self.scores.items():
            document[benchmark] = BenchmarkScores(models=models, paired=self.paired(benchmark))
        return document

    def _compare_models(self, benchmark: str) -> dict[str, PairedTest]:
        accuracies = self._question_accuracy[benchmark]
        # The comparisons that the two stages exist for …
        pairs = [pair for pair in NAMED_PAIRS if accuracies.keys() >= set(pair)]
        # … or, between models of other names, each with the next.
        if not pairs:
            pairs = list(itertools.pairwise(accuracies))

        tests = {}
        for first, second in pairs:
            if accuracies[first].keys() & accuracies[second].keys():
                test = compare_paired(accuracies[first], accuracies[second], self.seed)
                tests[f"{second} - {first}"] = test
        return tests
