"""The scores of several models on several benchmarks, and which of the models differ."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from recipes.core.data.benchmarks import HELD_OUT
from recipes.core.evaluation.metrics import (
    PairedTest,
    Scores,
    compare_paired,
    question_accuracy,
    summarize_scores,
)
from recipes.core.generation.types import Sample

# The comparisons that the story of a recipe is about: what RL adds to the base model, what
# distillation adds to the student's base, and how close the student comes to its teacher.
NAMED_PAIRS = (("base", "policy"), ("student_base", "student"), ("policy", "student"))


class ScoreBook:
    """Filled by `evaluate`, one model on one benchmark at a time.

    Attributes:
        scores: by benchmark and model; a model's also have its metadata.
        speeds: tokens per second of each model on the held-out questions, as far as measured.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.scores: dict[str, dict[str, dict[str, Any]]] = {}
        self.speeds: dict[str, float] = {}
        self._accuracies: dict[str, dict[str, dict[str, float]]] = {}

    def add(
        self,
        model: str,
        benchmark: str,
        samples: Sequence[Sample],
        metadata: Mapping[str, Any],
    ) -> None:
        """Adds the samples of a model on a benchmark; `metadata` describes the model."""
        scores: Scores = summarize_scores(samples, self.seed)
        self.scores.setdefault(benchmark, {})[model] = dict(scores) | dict(metadata)
        accuracies = question_accuracy(samples)
        self._accuracies.setdefault(benchmark, {})[model] = accuracies

    def add_greedy(self, model: str, benchmark: str, samples: Sequence[Sample]) -> None:
        """Adds the most likely completion of each question."""
        accuracy = summarize_scores(samples, self.seed)["accuracy"]
        self.scores[benchmark][model]["greedy_accuracy"] = accuracy

    def add_speed(self, model: str, benchmark: str, stats: Mapping[str, float]) -> None:
        """Adds what sampling took; speeds are not part of scores.json, which is reproducible."""
        if benchmark == HELD_OUT and stats:
            self.speeds[model] = stats["tokens_per_second"]

    def paired(self, benchmark: str) -> dict[str, PairedTest]:
        """The paired tests of `NAMED_PAIRS`, or of neighbours if none of these models is there."""
        accuracies = self._accuracies[benchmark]
        models = list(accuracies)
        pairs = [pair for pair in NAMED_PAIRS if set(pair) <= set(models)]
        tests = {}
        for first, second in pairs or itertools.pairwise(models):
            test = compare_paired(accuracies[first], accuracies[second], self.seed)
            tests[f"{second} - {first}"] = test
        return tests

    def to_dict(self) -> dict[str, Any]:
        """The document of scores.json."""
        document = {}
        for benchmark, models in self.scores.items():
            document[benchmark] = {"models": models, "paired": self.paired(benchmark)}
        return document
