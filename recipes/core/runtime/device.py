"""The device of this process: accelerator or CPU, its memory, and how the model is sharded."""

import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import PartialState

SHARDINGS = ("DEEPSPEED", "FSDP")


def has_accelerator() -> bool:
    """Whether the stages run on a GPU or similar: one is present, and the launch allows it."""
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        return False
    import torch

    return torch.accelerator.is_available()


def process_state() -> "PartialState":
    """accelerate's state of this process and its group.

    Its device is the CPU if the launch asked for that; accelerate itself ignores the request.
    """
    from accelerate import PartialState

    return PartialState(cpu=not has_accelerator())


def sharding() -> str | None:
    """The library that shards the model or its optimiser: "DEEPSPEED", "FSDP" or `None`."""
    for kind in SHARDINGS:
        if os.environ.get(f"ACCELERATE_USE_{kind}") == "true":
            return kind
    return None


def free_bytes() -> int:
    """Bytes of device memory that a process may use.

    On a GPU all of its memory. On a CPU the free memory and what this process already has, up to
    `ulimit -v`; the processes of one machine share it.
    """
    if has_accelerator():
        import torch

        return torch.accelerator.get_memory_info()[1]
    import psutil

    # The process itself counts as free: it is part of what the estimate adds up.
    available = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return available
    return min(available, limit)
