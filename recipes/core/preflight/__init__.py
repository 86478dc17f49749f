"""Checks that run before anything is loaded or started, or before it is trained."""

from recipes.core.preflight.batch import check_one_step
from recipes.core.preflight.checks import fail_fast
from recipes.core.preflight.lengths import check_completion_fits, check_trace_fits
from recipes.core.preflight.model import check_model_folder, check_model_path

__all__ = [
    "check_completion_fits",
    "check_model_folder",
    "check_model_path",
    "check_one_step",
    "check_trace_fits",
    "fail_fast",
]
