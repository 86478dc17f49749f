"""Evaluation: metrics of samples, comparisons of models, and tables of both."""

from recipes.core.evaluation.flexible_accuracy import FlexibleAccuracy
from recipes.core.evaluation.not_scored import NotScored
from recipes.core.evaluation.score_book import ScoreBook
from recipes.core.evaluation.score_table import score_table

__all__ = ["FlexibleAccuracy", "NotScored", "ScoreBook", "score_table"]
