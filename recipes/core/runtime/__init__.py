"""What a process runs on and beside: devices, the process group, the watchdog, exit codes."""

from recipes.core.runtime.device import process_state
from recipes.core.runtime.entrypoint import run_stage

__all__ = ["process_state", "run_stage"]
