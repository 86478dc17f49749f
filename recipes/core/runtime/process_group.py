"""Joins the processes of a run into one group, and runs work on the main process alone."""

import logging
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError
from recipes.core.runtime.device import has_accelerator, sharding

if TYPE_CHECKING:
    from accelerate import PartialState
    from transformers import TrainingArguments

logger = logging.getLogger(__name__)

# The watchdog ends a run that hangs and reports why; torch's own limit would end it silently.
NO_TIMEOUT = timedelta(days=7)


def join_process_group(expected: int) -> None:
    """Makes several processes one group, on a CPU too, and logs which.

    accelerate's configs for several processes mean GPUs. On a machine without one, processes that
    nobody tells so would train side by side, each on its own; and told that they are CPU
    processes, they would forget DeepSpeed and FSDP and train as plain DDP.

    Raises:
        UserError: the group does not have the `expected` number of processes.
    """
    if expected == 1:
        _refuse_lonely_process()
        return
    from accelerate.utils import gather_object

    # The group must be what was asked for.
    state = _form_group()
    if state.num_processes != expected:
        raise UserError(
            f"accelerate was asked for {expected} processes and made a group of "
            f"{state.num_processes}"
        )
    # One line says which ranks there are and where they run.
    members = gather_object(
        [f"rank {state.process_index} on {socket.gethostname()}, {state.device}"]
    )
    kind = sharding() or state.distributed_type.value
    logger.info(
        "%d processes, %s, backend %s: %s", expected, kind, state.backend, "; ".join(members)
    )


def on_main_process(args: "TrainingArguments", work: Callable[[], None]) -> None:
    """Runs `work` on the main process once all have come this far; all raise what it raises."""
    import torch
    from accelerate.utils import broadcast_object_list

    is_group = args.world_size > 1
    if is_group:
        torch.distributed.barrier()
    problem: UserError | OSError | None = None
    if args.process_index == 0:
        try:
            work()
        except (UserError, OSError) as error:
            problem = error

    # The others must not wait for a process that has failed.
    message = [str(problem or "")]
    if is_group:
        broadcast_object_list(message)
    if message[0]:
        raise problem or UserError(message[0])


def _refuse_lonely_process() -> None:
    """Raises `UserError` if accelerate started one process for a config of the type MULTI_CPU."""
    # accelerate sets the address of the others, but this process has no rank.
    variables = os.environ
    is_lonely = (
        "ACCELERATE_MIXED_PRECISION" in variables
        and "MASTER_ADDR" in variables
        and "RANK" not in variables
    )
    if is_lonely:
        raise UserError(
            "accelerate was asked for several processes and started one, as it does with "
            "`distributed_type: MULTI_CPU`; use accelerate_configs/cpu_ddp.yaml "
            "(if one is meant, unset MASTER_ADDR)"
        )


def _form_group() -> "PartialState":
    from accelerate import PartialState
    from torch.distributed import distributed_c10d

    # The defaults are for the groups that DeepSpeed makes itself.
    distributed_c10d.default_pg_timeout = NO_TIMEOUT
    distributed_c10d.default_pg_nccl_timeout = NO_TIMEOUT
    options: dict[str, Any] = {"timeout": NO_TIMEOUT}
    if has_accelerator():
        return PartialState(**options)
    if sharding() == "DEEPSPEED":
        from deepspeed.ops import __compatible_ops__

        # On a CPU DeepSpeed would compile collectives of its own, for minutes; gloo has them.
        __compatible_ops__["deepspeed_shm_comm"] = False
        return PartialState(backend="gloo", **options)
    # Read by transformers' TrainingArguments and accelerate's Accelerator.
    os.environ["ACCELERATE_USE_CPU"] = "true"
    return PartialState(cpu=True, **options)
