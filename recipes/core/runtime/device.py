"""What this process runs on: an accelerator or the CPU, alone or beside others, and who splits the model over them."""

import os
import resource
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from accelerate import PartialState


def has_accelerator() -> bool:
    """Whether the stages run on a GPU or the like: there is one, and the launch (cpu, cpu_ddp) did not say otherwise."""
    import torch

    return (
        torch.accelerator.is_available()
        and os.environ.get("ACCELERATE_USE_CPU", "").lower() != "true"
    )


def process_state() -> "PartialState":
    """accelerate's state of this process and the others; its device is the CPU where the launch said so, which it does not read."""
    from accelerate import PartialState

    return PartialState(cpu=not has_accelerator())


def sharding() -> str | None:
    """Who splits the model or its optimiser over the processes, as accelerate was told: "DEEPSPEED", "FSDP", or `None`."""
    return next(
        (
            kind
            for kind in ("DEEPSPEED", "FSDP")
            if os.environ.get(f"ACCELERATE_USE_{kind}") == "true"
        ),
        None,
    )


def free_bytes() -> int:
    """Bytes of the device that a process may fill: all of its current GPU; on a CPU, what is free and what the process has already,
    up to `ulimit -v`. Processes of one machine share the latter."""
    if has_accelerator():
        import torch

        return torch.accelerator.get_memory_info()[1]
    free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return free if limit == resource.RLIM_INFINITY else min(free, limit)
