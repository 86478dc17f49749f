"""The console output of a stage: its own lines and one progress bar, without libraries' chatter."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

# By logger, messages of libraries that do not concern the reader of a run's output.
NOISE = {
    "accelerate.accelerator": "The used dataset had no length",  # TRL's evaluation batches
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",  # an optional kernel
    "DeepSpeed": "Setting accelerator to CPU",  # the stage reports its device itself
    "trl.trainer.grpo_trainer": "Setting `use_cache=False`",
}
# Loggers whose INFO messages are about their own work.
CHATTY = ("httpx", "datasets", "deepspeed", "matplotlib")


class Progress(Protocol):
    """A progress display."""

    def update(self, text: str) -> None:
        """Advances by one step and shows `text` beside the bar."""


def rank_prefix(rank: int) -> str:
    """The beginning of every line that a process prints: empty for rank 0."""
    if rank == 0:
        return ""
    return f"[rank {rank}] "


def setup_console(rank: int) -> None:
    """Configures this process's logging: plain lines on stderr; ranks above 0 only warn."""
    level = logging.INFO
    if rank > 0:
        level = logging.WARNING
    logging.basicConfig(level=level, format=f"{rank_prefix(rank)}%(message)s", stream=sys.stderr)

    # Libraries: warnings only, and without those that are known to be harmless.
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name, text in NOISE.items():
        logging.getLogger(name).addFilter(_HideMessage(text))

    # Versions are pinned, so announcements of future changes concern the maintainers alone.
    libraries = r"(transformers|trl|peft|torch)\b"
    warnings.filterwarnings("ignore", category=FutureWarning, module=libraries)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def hide_loading_bars() -> None:
    """Hides transformers' bars for loading and saving weights; downloads keep theirs."""
    from huggingface_hub.utils import enable_progress_bars
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # also switches off the hub's
    enable_progress_bars()


@contextmanager
def progress_display(label: str, total: int, hidden: bool = False) -> Iterator[Progress]:
    """A live progress bar on a terminal; nothing elsewhere, or if `hidden`."""
    if hidden or not sys.stderr.isatty():
        yield _NoProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    # Label, bar, steps done, time left, and the text of the latest update.
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[text]}"),
    )
    console = Console(stderr=True)
    with RichProgress(*columns, console=console, transient=True) as display:
        yield _TerminalProgress(display, label, total)


class _HideMessage(logging.Filter):
    """Drops the log records that contain a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def filter(self, record: logging.LogRecord) -> bool:
        return self.text not in record.getMessage()


class _NoProgress:
    def update(self, text: str) -> None:
        pass


class _TerminalProgress:
    def __init__(self, display: "RichProgress", label: str, total: int) -> None:
        self.display = display
        self.task = display.add_task(label, total=total, text="")

    def update(self, text: str) -> None:
        self.display.update(self.task, advance=1, text=text)
