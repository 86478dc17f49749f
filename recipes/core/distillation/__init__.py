"""Distillation: which samples of the teacher become traces, and how a student learns them."""

from recipes.core.distillation.select_traces import (
    Selection,
    TraceArguments,
    format_funnel,
    require_traces,
    select_traces,
)
from recipes.core.distillation.trace_dataset import (
    TraceDatasetArguments,
    check_first_target,
    drop_long_traces,
    load_traces,
    longest_traces_first,
    split_by_question,
)

__all__ = [
    "Selection",
    "TraceArguments",
    "TraceDatasetArguments",
    "check_first_target",
    "drop_long_traces",
    "format_funnel",
    "load_traces",
    "longest_traces_first",
    "require_traces",
    "select_traces",
    "split_by_question",
]
