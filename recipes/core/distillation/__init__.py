"""Distillation: which samples of the teacher become traces, and how a student learns them."""

from recipes.core.distillation.load_traces import TraceDatasetArguments, load_traces
from recipes.core.distillation.select_traces import (
    Selection,
    TraceArguments,
    format_funnel,
    require_traces,
    select_traces,
)
from recipes.core.distillation.trace_dataset import (
    check_first_target,
    longest_traces_first,
    prepare_traces,
)

__all__ = [
    "Selection",
    "TraceArguments",
    "TraceDatasetArguments",
    "check_first_target",
    "format_funnel",
    "load_traces",
    "longest_traces_first",
    "prepare_traces",
    "require_traces",
    "select_traces",
]
