"""Checks that run before anything is loaded or started."""

from recipes.core.preflight.checks import fail_fast
from recipes.core.preflight.model import check_model_path

__all__ = ["check_model_path", "fail_fast"]
