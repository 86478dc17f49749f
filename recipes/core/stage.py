"""How a stage starts and ends: logging, the path, one group of processes, and errors in one line."""

import logging
import os
import sys
import warnings
from collections.abc import Callable

from recipes.core.config import UserError
from rewards import RewardError


def run(main: Callable[[], None]) -> None:
    """Runs a stage's `main`. What the user can mend ends in one line and exit code 2; anything else keeps its traceback."""
    rank = int(os.environ.get("RANK", "0"))
    where = f"[rank {rank}] " if rank else ""
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format=f"{where}%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "datasets", "deepspeed"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # The versions are pinned, so what will change in later ones is for us and not for the reader of a run's output.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft|torch)\b")
    # A script's own folder comes first on the path, where `evaluate` would be ours and not the installed package. The user's
    # folder takes its place, so that dotted paths to their own rewards and datasets are found.
    sys.path[0] = os.getcwd()
    try:
        check_processes()
        main()
    except (UserError, RewardError) as error:
        sys.stderr.write(f"{where}error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write(f"{where}stopped; the same command goes on from what is written\n")
        sys.exit(130)


def check_processes() -> None:
    """Makes several processes one group, on the CPU too, and says so; raises `UserError` if they are not what was asked for.

    accelerate's configs for several processes mean GPUs. On a machine without one, processes that nobody tells so train side
    by side, each on its own; and told that they are CPU processes, they forget DeepSpeed and FSDP and train as plain DDP.
    """
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    if asked == 1:
        return
    import torch
    from accelerate import PartialState

    sharding = next((kind for kind in ("DEEPSPEED", "FSDP") if os.environ.get(f"ACCELERATE_USE_{kind}") == "true"), None)
    if torch.accelerator.is_available():
        state = PartialState()
    elif sharding == "FSDP":
        raise UserError("accelerate shards with FSDP on accelerators only, and there is none; take ddp, zero2 or zero3 on a CPU")
    elif sharding == "DEEPSPEED":
        state = PartialState(backend="gloo")
    else:
        os.environ["ACCELERATE_USE_CPU"] = "true"  # what transformers' TrainingArguments and Accelerator read
        state = PartialState(cpu=True)
    if state.num_processes != asked:
        raise UserError(f"accelerate was asked for {asked} processes and made a group of {state.num_processes}")
    kind = state.distributed_type.value
    logging.getLogger(__name__).info("%d processes, %s, backend %s, device %s", asked, kind, state.backend, state.device)
