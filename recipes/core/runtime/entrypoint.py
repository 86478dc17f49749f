"""How a stage starts and ends: logging, the path, one group of processes that watch each other, and errors in one line."""

import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from types import FrameType

from recipes.core.errors import StopRequested, UserError
from recipes.core.runtime.failures import COMMUNICATION_ERRORS, OOM_REMEDY, is_out_of_memory
from recipes.core.runtime.process_group import join_process_group
from recipes.core.runtime.stopping import LOST, STOPPED, end_with_parent, record_exit_reason
from recipes.core.runtime.watchdog import start_watchdog
from rewards import RewardError


def run_stage(main: Callable[[], None]) -> None:
    """Runs a stage's `main`. What the user can mend ends in one line and exit code 2, SIGTERM in 75, Ctrl-C in 130, a process of
    the group that died or hangs in 70; anything else keeps its traceback."""
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    where = f"[rank {rank}] " if rank else ""
    logging.basicConfig(
        level=logging.INFO if rank == 0 else logging.WARNING,
        format=f"{where}%(message)s",
        stream=sys.stderr,
    )
    for noisy in ("httpx", "datasets", "deepspeed"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # The versions are pinned, so what will change in later ones is for us and not for the reader of a run's output.
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module=r"(transformers|trl|peft|torch)\b"
    )
    # A script's own folder comes first on the path, where `evaluate` would be ours and not the installed package. The user's
    # folder takes its place, so that dotted paths to their own rewards and datasets are found.
    sys.path[0] = os.getcwd()
    signal.signal(signal.SIGTERM, _request_stop)
    if "LAUNCH_FOLDER" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent()

    def leave(code: int, message: str, shown: str) -> None:
        sys.stderr.write(f"{where}{shown}\n")
        record_exit_reason(rank, code, message)
        if watched:
            watched.end("" if code == STOPPED else message)
        # torch's agent would print a page about a process that stopped as it was told to; the launcher knows better.
        sys.exit(0 if code == STOPPED and processes > 1 and "LAUNCH_FOLDER" in os.environ else code)

    watched = None
    # torchrun's agent keeps the store in which processes meet; other starters leave that to rank 0, which makes it with the group.
    met = processes == 1 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        watched = start_watchdog(rank, processes) if met else None
        join_process_group(processes)
        watched = watched or start_watchdog(rank, processes)
        main()
    except (UserError, RewardError) as error:
        leave(2, str(error), f"error: {error}")
    except StopRequested as reason:
        leave(STOPPED, str(reason), f"stopped: {reason}the same command goes on")
    except KeyboardInterrupt:
        leave(130, "Ctrl-C", "stopped; the same command goes on from what is written")
    except Exception as error:
        signal.signal(
            signal.SIGTERM, signal.SIG_IGN
        )  # torch's agent has seen the same, and may be quicker
        text = " ".join(str(error).split())[:200]
        if watched and any(word in text.lower() for word in COMMUNICATION_ERRORS):
            time.sleep(4 * watched.period)  # by then those who are still there have been heard of
            if lost := watched.missing(3 * watched.period):
                leave(
                    LOST,
                    f"{lost} is gone",
                    f"error: {lost} is gone, and this process cannot go on without ({text})",
                )
        if is_out_of_memory(error):
            leave(2, f"out of memory: {text}", f"error: out of memory: {text}; {OOM_REMEDY}")
        record_exit_reason(rank, 1, f"{type(error).__name__}: {text}")
        if watched:
            watched.end(text or type(error).__name__)
        raise
    finally:
        if watched and watched.ended is None:
            watched.end()


def _request_stop(number: int, frame: FrameType | None) -> None:
    raise StopRequested("")
