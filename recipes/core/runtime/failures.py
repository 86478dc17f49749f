"""Recognises failures with a message of their own: no memory, no disk space, a lost connection."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

# Words in torch's messages when the other end of a collective is gone.
COMMUNICATION_ERRORS = (
    "gloo",
    "nccl",
    "connection closed",
    "connection reset",
    "broken pipe",
    "processgroup",
)

# The remedy of stages without a memory estimate.
OOM_REMEDY = (
    "write a smaller batch_size (per_device_train_batch_size) or a smaller model, "
    "or free the device"
)

# A disk with less free space is full; torch does not always report that as an OSError.
MIN_FREE_BYTES = 1 << 24


def is_communication_failure(error: BaseException) -> bool:
    """Whether a collective failed because another process is gone."""
    text = str(error).lower()
    return any(word in text for word in COMMUNICATION_ERRORS)


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Whether `error`, raised while saving to `folder`, was caused by a full disk."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left" in str(cause):
            return True
    return shutil.disk_usage(folder).free < MIN_FREE_BYTES


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` or one of its causes is a lack of memory on the device."""
    import torch

    for cause in _causes(error):
        if isinstance(cause, MemoryError | torch.OutOfMemoryError):
            return True
        # torch's CPU allocator has no exception class: c10/core/impl/alloc_cpu.cpp.
        if "DefaultCPUAllocator: " in str(cause):
            return True
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and every exception in its chain, each once."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        cause = pending.pop()
        # Chains can be circles.
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        pending += [cause.__cause__, cause.__context__]
