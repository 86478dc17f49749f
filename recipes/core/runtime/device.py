"""What this process runs on: an accelerator or the CPU, its memory, and who splits the model."""

import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import PartialState

SHARDINGS = ("DEEPSPEED", "FSDP")


def has_accelerator() -> bool:
    """Whether the stages run on a GPU or the like: there is one, and the launch did not forbid it."""
    # Asked first: it needs no torch, which takes seconds to import.
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        return False
    import torch

    return torch.accelerator.is_available()


def process_state() -> "PartialState":
    """accelerate's state of this process and the others.

    Its device is the CPU where the launch asked for that, which accelerate itself does not read.
    """
    from accelerate import PartialState

    return PartialState(cpu=not has_accelerator())


def sharding() -> str | None:
    """What splits the model or its optimiser over the processes: "DEEPSPEED", "FSDP" or `None`."""
    for kind in SHARDINGS:
        if os.environ.get(f"ACCELERATE_USE_{kind}") == "true":
            return kind
    return None


def free_bytes() -> int:
    """Bytes of the device that a process may use.

    On a GPU all of its memory. On a CPU what is free plus what the process has, up to `ulimit -v`;
    processes of one machine share it.
    """
    if has_accelerator():
        import torch

        return torch.accelerator.get_memory_info()[1]
    import psutil

    # What this process holds already is part of what it may use.
    free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return free if limit == resource.RLIM_INFINITY else min(free, limit)
