"""Recognises the failures that need their own message: out of memory, a full disk, a lost connection."""

import shutil
from pathlib import Path

# What torch's messages have in common when the other end of a collective is gone.
COMMUNICATION_ERRORS = (
    "gloo",
    "nccl",
    "connection closed",
    "connection reset",
    "broken pipe",
    "processgroup",
)


# Where no plan of a training says more.
OOM_REMEDY = "write a smaller batch_size (per_device_train_batch_size) or a smaller model, or free the device"


MIN_FREE_BYTES = (
    1 << 24
)  # bytes; torch does not say that a disk is full, but less than this being free does


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Whether `error`, raised while saving to `folder`, came of a full disk."""
    cause: BaseException | None = error
    while cause is not None:
        if (isinstance(cause, OSError) and cause.errno in (28, 122)) or "No space left" in str(
            cause
        ):  # ENOSPC, EDQUOT
            return True
        cause = cause.__cause__ or cause.__context__
    return shutil.disk_usage(folder).free < MIN_FREE_BYTES


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, or one that it came from, says that the device's memory was not enough."""
    import torch

    chain, seen = [error], set[int]()
    while chain:
        link = chain.pop()
        seen.add(id(link))
        # torch's CPU allocator has no class of its own: c10/core/impl/alloc_cpu.cpp, "can't allocate memory" or "not enough memory"
        if isinstance(link, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator: " in str(
            link
        ):
            return True
        chain += [
            before
            for before in (link.__cause__, link.__context__)
            if before is not None and id(before) not in seen
        ]
    return False
