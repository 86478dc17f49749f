"""Joins the processes of a run into one group; runs a function on the main process alone."""

import logging
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from recipes.core.errors import UserError
from recipes.core.runtime.device import has_accelerator, sharding

if TYPE_CHECKING:
    from accelerate import PartialState
    from transformers import TrainingArguments

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# The watchdog ends a run that hangs and reports the reason; torch's own limit would not.
NO_TIMEOUT = timedelta(days=7)


def join_process_group(expected: int) -> None:
    """Joins `expected` processes into one group, on GPUs or CPUs, and logs its members.

    accelerate's own configs for several processes assume GPUs. On a machine without one, the
    processes would not find each other and each would train alone; with accelerate's CPU option
    they would ignore DeepSpeed and FSDP and train as plain DDP.

    Raises:
        UserError: the group does not have the `expected` number of processes.
    """
    if expected == 1:
        _refuse_lonely_process()
        return
    from accelerate.utils import gather_object

    # The group must have the size that was asked for.
    state = _form_group()
    if state.num_processes != expected:
        raise UserError(
            f"accelerate was asked for {expected} processes and made a group of "
            f"{state.num_processes}"
        )
    # One line lists the ranks and where they run.
    members = gather_object(
        [f"rank {state.process_index} on {socket.gethostname()}, {state.device}"]
    )
    kind = sharding() or state.distributed_type.value
    logger.info(
        "%d processes, %s, backend %s: %s", expected, kind, state.backend, "; ".join(members)
    )


def on_main_process(args: "TrainingArguments", function: Callable[[], None]) -> None:
    """Runs `function` on the main process once all processes are here.

    All of them wait for it, and all raise the `UserError` or `OSError` that it raises.
    """
    import torch
    from accelerate.utils import broadcast_object_list

    is_group = args.world_size > 1
    if is_group:
        torch.distributed.barrier()

    problem: UserError | OSError | None = None
    if args.process_index == 0:
        try:
            function()
        except (UserError, OSError) as error:
            problem = error

    # The others learn of a failure here instead of waiting for the main process for ever.
    message = [str(problem or "")]
    if is_group:
        broadcast_object_list(message)
    if message[0]:
        raise problem or UserError(message[0])


def ask_main_process(function: Callable[[], Answer]) -> Answer:
    """What `function` returns on the main process, which alone runs it.

    All processes get its answer, or the `UserError` that it raises.
    """
    import torch
    from accelerate.utils import broadcast_object_list

    answer: list[Any] = [None, None]  # and a problem
    if os.environ.get("RANK", "0") == "0":
        try:
            answer[0] = function()
        except UserError as error:
            answer[1] = str(error)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        broadcast_object_list(answer)
    if answer[1]:
        raise UserError(answer[1])
    return answer[0]


def _refuse_lonely_process() -> None:
    """Raises `UserError` if accelerate started one process for a config of the type MULTI_CPU."""
    # accelerate set the address of a group, but gave this process no rank in it.
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
    """Initialises torch's default process group with a backend that this machine has."""
    from accelerate import PartialState
    from torch.distributed import distributed_c10d

    # torch's defaults apply to the groups that DeepSpeed creates itself.
    distributed_c10d.default_pg_timeout = NO_TIMEOUT
    distributed_c10d.default_pg_nccl_timeout = NO_TIMEOUT
    options: dict[str, Any] = {"timeout": NO_TIMEOUT}
    # On GPUs accelerate does the right thing.
    if has_accelerator():
        return PartialState(**options)
    if sharding() == "DEEPSPEED":
        from deepspeed.ops import __compatible_ops__

        # On a CPU DeepSpeed would spend minutes compiling its own collectives; gloo has them.
        __compatible_ops__["deepspeed_shm_comm"] = False
        return PartialState(backend="gloo", **options)
    # DDP or FSDP on CPUs: transformers' TrainingArguments and accelerate's Accelerator read this.
    os.environ["ACCELERATE_USE_CPU"] = "true"
    return PartialState(cpu=True, **options)
