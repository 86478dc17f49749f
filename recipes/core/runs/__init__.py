"""Runs of a stage: provenance, manifests, checkpoints, and how an interrupted run resumes."""

from recipes.core.runs.follow_policy import follow_policy
from recipes.core.runs.manifest import Provenance, log_summary
from recipes.core.runs.resume import ResumeArguments
from recipes.core.runs.run import SamplingRun, TrainingRun, discard_changed, refuse_changes
from recipes.core.runs.starting_model import starting_model

__all__ = [
    "Provenance",
    "ResumeArguments",
    "SamplingRun",
    "TrainingRun",
    "discard_changed",
    "follow_policy",
    "log_summary",
    "refuse_changes",
    "starting_model",
]
