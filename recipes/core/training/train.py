"""How a trainer is run: what it shows while it trains, when it stops, and what it leaves."""

import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from recipes.core.errors import StopRequested, UserError
from recipes.core.memory.advise import memory_advice
from recipes.core.memory.plan import MemoryPlan
from recipes.core.models.verify import saved_tensor_names, tied_tensor_names, verify_saved_weights
from recipes.core.runs.checkpoints import find_corruption, list_checkpoints
from recipes.core.runs.manifest import read_manifest, write_manifest
from recipes.core.runtime.device import free_bytes, has_accelerator
from recipes.core.runtime.failures import is_disk_full, is_out_of_memory
from recipes.core.runtime.process_group import on_main_process
from recipes.core.runtime.watchdog import report_activity, set_hang_limit
from recipes.core.training.callbacks.checkpointing import VerifiedCheckpoints
from recipes.core.training.callbacks.data_order import ReproducibleOrder
from recipes.core.training.callbacks.progress import ConsoleProgress
from recipes.core.training.callbacks.stopping import GracefulStop


def train(
    trainer: Trainer,
    stage: str,
    made_of: dict[str, Any],
    checkpoint: str | None,
    started: float,
    max_seconds: float | None = None,
    plan: Callable[[], MemoryPlan | None] = lambda: None,
) -> None:
    """Trains from `checkpoint` (or step 0) and leaves the model, its metrics and its manifest in the trainer's `output_dir`.

    Raises `Stopped` if a process was sent SIGTERM: then there is a checkpoint of the last step, and no model yet. If memory runs
    out, `plan` says what the run needs, and the `UserError` which keys to change.
    """
    args: Any = trainer.args
    stop, folder = GracefulStop(max_seconds), Path(args.output_dir)
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(
        PrinterCallback
    )  # one of the two is what transformers chose to print with
    for callback in (
        ConsoleProgress,
        stop,
        VerifiedCheckpoints(args.save_total_limit),
        ReproducibleOrder,
    ):
        trainer.add_callback(callback)
    args.save_total_limit = (
        None  # Trainer would remove old checkpoints before the new one is known to be good
    )
    report_activity("preparing to train")
    set_hang_limit(args.ddp_timeout)
    path = folder / "manifest.json"
    facts: dict[str, Any] = {
        "processes": args.world_size,
        "distributed_type": trainer.accelerator.distributed_type.value,
    }
    if "wandb" in args.report_to:
        facts["wandb_run_id"] = read_manifest(path).get("wandb_run_id") or uuid.uuid4().hex[:8]
        os.environ |= {"WANDB_RUN_ID": facts["wandb_run_id"], "WANDB_RESUME": "allow"}

    def note(**more: Any) -> None:
        if trainer.is_world_process_zero():
            write_manifest(
                path, stage, made_of, started, **facts, steps=trainer.state.global_step, **more
            )

    note(status="running")
    signal.signal(signal.SIGTERM, stop.ask)
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
        if stop.stopped:
            note(status="stopped")
            without = "without resume_from_checkpoint " if args.resume_from_checkpoint else ""
            raise StopRequested(
                f"{folder}/checkpoint-{trainer.state.global_step} is saved; {without}"
            )
        report_activity("saving the model")
        trainer.save_model()
        names = saved_tensor_names(trainer.model)
        on_main_process(
            args, lambda: verify_saved_weights(folder, names, tied_tensor_names(trainer.model))
        )
        trainer.save_state()
        note(status="finished")
    except (OSError, RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            planned = plan()
            cure = "write a smaller per_device_train_batch_size, and a larger gradient_accumulation_steps for the same batch"
            here = (
                1 if has_accelerator() else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
            )  # processes that share a memory
            cure = memory_advice(planned, free_bytes() // here) if planned else cure
            raise UserError(f"step {trainer.state.global_step}: out of memory: {cure}") from error
        if not is_disk_full(error, folder):
            raise
        good = next(
            (path.name for path in list_checkpoints(folder) if not find_corruption(path)),
            "no checkpoint yet",
        )
        raise UserError(
            f"the disk of {folder} is full; what was saved before stays ({good}); free space, then go on"
        ) from error
    trainer.end()
