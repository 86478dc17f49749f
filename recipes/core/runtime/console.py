"""What a stage prints: its own lines and one progress bar, not the chatter of the libraries below it."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

# Messages of libraries that do not concern the reader of a run's output, by logger.
NOISE = {
    "accelerate.accelerator": "The used dataset had no length",  # TRL's evaluation batches
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",  # an optional kernel
    "DeepSpeed": "Setting accelerator to CPU",  # a fact that the stage reports itself
    "trl.trainer.grpo_trainer": "Setting `use_cache=False`",
}
# Loggers whose informative messages are about their own work.
CHATTY = ("httpx", "datasets", "deepspeed", "matplotlib")


class Progress(Protocol):
    """A progress display."""

    def update(self, text: str) -> None:
        """One step further; `text` says how it goes."""


def setup_console(rank: int) -> None:
    """Configures logging of this process: plain lines on stderr, from rank 0 unless they matter."""
    # Several processes write to one terminal.
    prefix = f"[rank {rank}] " if rank else ""
    logging.basicConfig(
        level=logging.WARNING if rank else logging.INFO,
        format=f"{prefix}%(message)s",
        stream=sys.stderr,
    )
    # The libraries: what they say about their own work is left out.
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name, text in NOISE.items():
        logging.getLogger(name).addFilter(_Without(text))

    # Versions are pinned: what will change in later ones concerns the maintainers only.
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
    """A live progress bar on a terminal, nothing elsewhere or if `hidden`."""
    # A log file would hold a line for every redrawing.
    if hidden or not sys.stderr.isatty():
        yield _NoProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    # Name, bar, count, time left, and how it goes.
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[text]}"),
    )
    console = Console(stderr=True)
    with RichProgress(*columns, console=console, transient=True) as display:
        yield _RichProgress(display, label, total)


class _Without(logging.Filter):
    """Drops the records that contain a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def filter(self, record: logging.LogRecord) -> bool:
        return self.text not in record.getMessage()


class _NoProgress:
    def update(self, text: str) -> None:
        pass


class _RichProgress:
    def __init__(self, display: "RichProgress", label: str, total: int) -> None:
        self.display = display
        self.task = display.add_task(label, total=total, text="")

    def update(self, text: str) -> None:
        self.display.update(self.task, advance=1, text=text)
