"""Recognises failures with a message of their own, whoever notices them.

No memory, no disk space, a lost connection; and what the user can mend: a package that is not
installed, a folder that cannot be written to, no account, keys that a library refuses.
"""

import errno
import re
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path

from recipes.core.errors import one_line

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

# Libraries say it in their own words, and not always with an ImportError.
# matches: TrackioCallback requires trackio to be installed. Run `pip install trackio`.
_NOT_INSTALLED = re.compile(r"pip install|(?:not|to be) installed")

# The folder or file cannot be used, whatever the stage does.
_UNUSABLE_PATH = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}


def describe_mendable(error: Exception) -> str | None:
    """One line about an error that the user can mend; `None` for any other."""
    if type(error).__module__.partition(".")[0] == "wandb":
        return (
            f"wandb: {one_line(error, 300)}; run `wandb login`, set WANDB_MODE=offline, "
            "or write report_to: none"
        )
    if isinstance(error, OSError) and _is_unusable_path(error):
        return (
            f"{error.filename}: cannot be used ({error.strerror}); "
            "make it writable, or choose another folder with `--output_dir`"
        )
    # Code of the user or of this repository has its traceback.
    where = _library_frame(error)
    if where is None:
        return None
    text = one_line(error, 500)
    is_missing_package = isinstance(error, ImportError) or bool(_NOT_INSTALLED.search(str(error)))
    if is_missing_package or isinstance(error, ValueError | NotImplementedError | OSError):
        return f"{text} ({type(error).__name__} in {where})"
    return None


def _is_unusable_path(error: OSError) -> bool:
    """Whether a path is at fault: it cannot be used, or a folder on it cannot be made."""
    frames = traceback.extract_tb(error.__traceback__)
    is_mkdir = bool(frames) and frames[-1].name in ("mkdir", "makedirs")
    return bool(error.filename) and (error.errno in _UNUSABLE_PATH or is_mkdir)


def _library_frame(error: BaseException) -> str | None:
    """`trl/trainer/grpo_trainer.py, line 12` if an installed package raised the error."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return None
    path = Path(frames[-1].filename)
    for folder in ("site-packages", "dist-packages"):
        if folder in path.parts:
            inside = path.parts[path.parts.index(folder) + 1 :]
            return f"{'/'.join(inside)}, line {frames[-1].lineno}"
    return None


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
