"""How a stage starts and ends: logging, the path, one group of processes that watch each other, and errors in one line."""

import logging
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

from recipes.core.config.config import UserError
from recipes.core.launch.supervisor import STOPPED, end_with_parent
from recipes.core.memory.advise import out_of_memory
from recipes.core.runtime import watchdog as watch
from recipes.core.runtime.device import has_accelerator, sharding
from rewards import RewardError

logger = logging.getLogger(__name__)

# What torch's messages have in common when the other end of a collective is gone.
_COMMUNICATION = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe", "processgroup")


# Where no plan of a training says more.
_SMALLER = "write a smaller batch_size (per_device_train_batch_size) or a smaller model, or free the device"


class Stopped(BaseException):
    """SIGTERM came: what is saved stays, the same command goes on. The message says what is saved."""


def run(main: Callable[[], None]) -> None:
    """Runs a stage's `main`. What the user can mend ends in one line and exit code 2, SIGTERM in 75, Ctrl-C in 130, a process of
    the group that died or hangs in 70; anything else keeps its traceback."""
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    where = f"[rank {rank}] " if rank else ""
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format=f"{where}%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "datasets", "deepspeed"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # The versions are pinned, so what will change in later ones is for us and not for the reader of a run's output.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft|torch)\b")
    # A script's own folder comes first on the path, where `evaluate` would be ours and not the installed package. The user's
    # folder takes its place, so that dotted paths to their own rewards and datasets are found.
    sys.path[0] = os.getcwd()
    signal.signal(signal.SIGTERM, _stop)
    if "LAUNCH_FOLDER" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent()

    def leave(code: int, message: str, shown: str) -> None:
        sys.stderr.write(f"{where}{shown}\n")
        watch.last_words(rank, code, message)
        if watched:
            watched.end("" if code == STOPPED else message)
        # torch's agent would print a page about a process that stopped as it was told to; the launcher knows better.
        sys.exit(0 if code == STOPPED and processes > 1 and "LAUNCH_FOLDER" in os.environ else code)

    watched = None
    # torchrun's agent keeps the store in which processes meet; other starters leave that to rank 0, which makes it with the group.
    met = processes == 1 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        watched = watch.start(rank, processes) if met else None
        check_processes(processes)
        watched = watched or watch.start(rank, processes)
        main()
    except (UserError, RewardError) as error:
        leave(2, str(error), f"error: {error}")
    except Stopped as reason:
        leave(STOPPED, str(reason), f"stopped: {reason}the same command goes on")
    except KeyboardInterrupt:
        leave(130, "Ctrl-C", "stopped; the same command goes on from what is written")
    except Exception as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torch's agent has seen the same, and may be quicker
        text = " ".join(str(error).split())[:200]
        if watched and any(word in text.lower() for word in _COMMUNICATION):
            time.sleep(4 * watched.period)  # by then those who are still there have been heard of
            if lost := watched.missing(3 * watched.period):
                leave(watch.LOST, f"{lost} is gone", f"error: {lost} is gone, and this process cannot go on without ({text})")
        if out_of_memory(error):
            leave(2, f"out of memory: {text}", f"error: out of memory: {text}; {_SMALLER}")
        watch.last_words(rank, 1, f"{type(error).__name__}: {text}")
        if watched:
            watched.end(text or type(error).__name__)
        raise
    finally:
        if watched and watched.ended is None:
            watched.end()


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped("")


def check_processes(asked: int) -> None:
    """Makes several processes one group, on the CPU too, and says which; raises `UserError` if they are not what was asked for.

    accelerate's configs for several processes mean GPUs. On a machine without one, processes that nobody tells so train side
    by side, each on its own; and told that they are CPU processes, they forget DeepSpeed and FSDP and train as plain DDP.
    """
    if asked == 1:
        # accelerate starts a config of the type MULTI_CPU as one process, which knows of the others by this alone.
        alone = "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ and "RANK" not in os.environ
        if alone:
            raise UserError(
                "accelerate was asked for several processes and started one, as it does with `distributed_type: MULTI_CPU`; take "
                "accelerate_configs/cpu_ddp.yaml (if one is meant, unset MASTER_ADDR)"
            )
        return
    from accelerate import PartialState
    from accelerate.utils import gather_object
    from torch.distributed import distributed_c10d

    # The watch ends a run that hangs, and says why; torch would do it without a word. DeepSpeed's groups have the default.
    patience = {"timeout": timedelta(days=7)}
    distributed_c10d.default_pg_timeout = distributed_c10d.default_pg_nccl_timeout = patience["timeout"]
    shards = sharding()
    if has_accelerator():
        state = PartialState(**patience)
    elif shards == "DEEPSPEED":
        from deepspeed.ops import __compatible_ops__

        # On a CPU DeepSpeed compiles collectives of its own at the first start, for minutes and with a compiler; gloo has them.
        __compatible_ops__["deepspeed_shm_comm"] = False
        state = PartialState(backend="gloo", **patience)
    else:
        os.environ["ACCELERATE_USE_CPU"] = "true"  # what transformers' TrainingArguments and Accelerator read
        state = PartialState(cpu=True, **patience)
    if state.num_processes != asked:
        raise UserError(f"accelerate was asked for {asked} processes and made a group of {state.num_processes}")
    there = gather_object([f"rank {state.process_index} on {socket.gethostname()}, {state.device}"])
    kind = shards or state.distributed_type.value
    logger.info("%d processes, %s, backend %s: %s", asked, kind, state.backend, "; ".join(there))
