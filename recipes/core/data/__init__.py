"""Questions with answers: where they come from, which of them are used, and in which order."""

from recipes.core.data.benchmarks import Benchmark, BenchmarkArguments, load_benchmarks
from recipes.core.data.decontaminate import benchmark_questions
from recipes.core.data.filters import drop_duplicates, drop_long_prompts, load_eval_questions
from recipes.core.data.order import longest_first
from recipes.core.data.questions import DataArguments, load_questions
from recipes.core.data.sources import source_name

__all__ = [
    "Benchmark",
    "BenchmarkArguments",
    "DataArguments",
    "benchmark_questions",
    "drop_duplicates",
    "drop_long_prompts",
    "load_benchmarks",
    "load_eval_questions",
    "load_questions",
    "longest_first",
    "source_name",
]
