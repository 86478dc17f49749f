"""Joins the processes of a run into one group, and runs work on the main process alone."""

import logging
import os
import socket
from datetime import timedelta
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments

from recipes.core.errors import UserError
from recipes.core.runtime.device import has_accelerator, sharding

logger = logging.getLogger(__name__)


def join_process_group(asked: int) -> None:
    """Makes several processes one group, on the CPU too, and says which; raises `UserError` if they are not what was asked for.

    accelerate's configs for several processes mean GPUs. On a machine without one, processes that nobody tells so train side
    by side, each on its own; and told that they are CPU processes, they forget DeepSpeed and FSDP and train as plain DDP.
    """
    if asked == 1:
        # accelerate starts a config of the type MULTI_CPU as one process, which knows of the others by this alone.
        alone = (
            "ACCELERATE_MIXED_PRECISION" in os.environ
            and "MASTER_ADDR" in os.environ
            and "RANK" not in os.environ
        )
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
    distributed_c10d.default_pg_timeout = distributed_c10d.default_pg_nccl_timeout = patience[
        "timeout"
    ]
    shards = sharding()
    if has_accelerator():
        state = PartialState(**patience)
    elif shards == "DEEPSPEED":
        from deepspeed.ops import __compatible_ops__

        # On a CPU DeepSpeed compiles collectives of its own at the first start, for minutes and with a compiler; gloo has them.
        __compatible_ops__["deepspeed_shm_comm"] = False
        state = PartialState(backend="gloo", **patience)
    else:
        os.environ["ACCELERATE_USE_CPU"] = (
            "true"  # what transformers' TrainingArguments and Accelerator read
        )
        state = PartialState(cpu=True, **patience)
    if state.num_processes != asked:
        raise UserError(
            f"accelerate was asked for {asked} processes and made a group of {state.num_processes}"
        )
    there = gather_object([f"rank {state.process_index} on {socket.gethostname()}, {state.device}"])
    kind = shards or state.distributed_type.value
    logger.info("%d processes, %s, backend %s: %s", asked, kind, state.backend, "; ".join(there))


def on_main_process(args: TrainingArguments, work: Any) -> None:
    """Does `work` in the first process when all have come this far; what is wrong is raised in all of them."""
    if args.world_size > 1:
        torch.distributed.barrier()
    problem: UserError | OSError | None = None
    if args.process_index == 0:
        try:
            work()
        except (UserError, OSError) as error:
            problem = error
    wrong = [str(problem or "")]
    if args.world_size > 1:
        broadcast_object_list(wrong)
    if wrong[0]:
        raise problem or UserError(wrong[0])
