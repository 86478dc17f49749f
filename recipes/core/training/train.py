"""Runs a trainer from its checkpoint to a verified model, or to one line about a failure."""

import logging
import os
import signal
from pathlib import Path
from typing import Any, NoReturn

from transformers.trainer_callback import PrinterCallback, ProgressCallback

from recipes.core.config import Config
from recipes.core.errors import StopRequested, UserError
from recipes.core.memory.advise import memory_advice
from recipes.core.memory.plan import MemoryPlan
from recipes.core.models.loading import model_config
from recipes.core.models.verify import (
    saved_tensor_names,
    tied_tensor_names,
    verify_saved_weights,
)
from recipes.core.runs import TrainingRun
from recipes.core.runs.checkpoints import find_corruption, list_checkpoints
from recipes.core.runs.manifest import LEARNT_NOTHING
from recipes.core.runtime.device import free_bytes, has_accelerator
from recipes.core.runtime.failures import is_disk_full, is_out_of_memory
from recipes.core.runtime.process_group import on_main_process
from recipes.core.runtime.watchdog import report_activity, set_hang_limit
from recipes.core.training.callbacks.checkpointing import VerifiedCheckpoints
from recipes.core.training.callbacks.data_order import ReproducibleOrder
from recipes.core.training.callbacks.progress import ConsoleProgress
from recipes.core.training.callbacks.stopping import GracefulStop
from recipes.core.training.callbacks.watchdog import WatchdogProgress
from recipes.core.training.model_card import Origin
from recipes.core.training.recipe_trainer import RecipeTrainer

logger = logging.getLogger(__name__)

OOM_REMEDY = (
    "write a smaller per_device_train_batch_size, and a larger gradient_accumulation_steps "
    "for the same batch"
)


def train(
    trainer: RecipeTrainer, run: TrainingRun, longest: int = 0, max_seconds: float | None = None
) -> None:
    """Trains from the run's checkpoint or step 0, and writes the model, metrics and manifest.

    Args:
        longest: tokens of the longest prompt (GRPO) or trace (SFT), for the memory estimate that a
            run without enough memory ends with; 0 if it is not known.
        max_seconds: stop after so many seconds of training.

    Raises:
        StopRequested: a process received SIGTERM; the last step is saved, the model is not final.
        UserError: the memory or the disk was not enough; says which keys to change.
    """
    # Callbacks: console, watchdog, stopping, data order, checkpoints.
    stop = GracefulStop(max_seconds)
    _set_callbacks(trainer, stop)
    trainer.origin = Origin.of_run(run.config)  # for the model card
    run.measured["distributed_type"] = trainer.accelerator.distributed_type.value

    # From here on a hang is noticed, and SIGTERM saves instead of ending the process.
    _log_header(trainer, run)
    report_activity("preparing to train")
    set_hang_limit(trainer.args.ddp_timeout)
    _write_status(trainer, run, "running")
    signal.signal(signal.SIGTERM, stop.ask)
    try:
        # Train, and leave a model only if all steps are done.
        trainer.train(resume_from_checkpoint=run.checkpoint)
        if stop.stopped:
            _raise_stop_requested(trainer, run)
        _require_a_step(trainer)
        _save(trainer, run)
    except (OSError, RuntimeError, MemoryError) as error:
        # What the user can fix becomes one line; anything else keeps its traceback.
        problem = _describe_failure(error, trainer, run, longest)
        if problem is None:
            raise
        raise UserError(problem) from error
    finally:
        run.lock.release()
    trainer.end()


def _log_header(trainer: RecipeTrainer, run: TrainingRun) -> None:
    """Logs the first line of a training stage: what is trained, on what, and where it goes."""
    model: Any = trainer.model
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    logger.info(
        "%s: trains %s of %s parameters on %s; writes %s",
        run.stage,
        f"{trained:,}",
        f"{model.num_parameters():,}",
        trainer.args.device,
        run.folder,
    )


def _set_callbacks(trainer: RecipeTrainer, stop: GracefulStop) -> None:
    """Replaces transformers' console output, and adds the callbacks of this repository."""
    # One of the two is there, depending on disable_tqdm.
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    # Ours, in the order in which Trainer calls them.
    trainer.add_callback(ConsoleProgress)
    trainer.add_callback(WatchdogProgress)
    trainer.add_callback(stop)
    trainer.add_callback(ReproducibleOrder)
    trainer.add_callback(VerifiedCheckpoints(trainer.args.save_total_limit))
    # Trainer itself would remove old checkpoints before the new one is known to be intact.
    trainer.args.save_total_limit = None


def _write_status(trainer: RecipeTrainer, run: TrainingRun, status: str) -> None:
    if trainer.is_world_process_zero():
        run.write_status(status, trainer.state.global_step)


def _raise_stop_requested(trainer: RecipeTrainer, run: TrainingRun) -> NoReturn:
    _write_status(trainer, run, "stopped")
    checkpoint = run.folder / f"checkpoint-{trainer.state.global_step}"
    # With the key, the same command would go back to the checkpoint that it names.
    is_named = trainer.args.resume_from_checkpoint is not None
    remedy = "without resume_from_checkpoint " if is_named else ""
    raise StopRequested(f"{checkpoint} is saved; {remedy}")


def _require_a_step(trainer: RecipeTrainer) -> None:
    """Raises `UserError` if nothing was trained: the model would be the one it started from."""
    if trainer.state.global_step == 0:
        raise UserError(
            "not one step was trained: the data fills no step, or max_steps and num_train_epochs "
            f"({trainer.args.num_train_epochs:g}) ask for none"
        )


def _save(trainer: RecipeTrainer, run: TrainingRun) -> None:
    """Saves the model, and reads it back before the run counts as finished."""
    report_activity("saving the model")
    trainer.save_model()
    model = trainer.model
    # Under ZeRO-3 all processes take part in naming the tensors.
    names = saved_tensor_names(model)
    on_main_process(
        trainer.args, lambda: verify_saved_weights(run.folder, names, tied_tensor_names(model))
    )
    # Again after saving: peft writes the path of the base into the card of an adapter.
    trainer.create_model_card(model_name=run.folder.name)
    trainer.save_state()
    # A run that could not learn is done as well, but no success.
    problem = trainer.learning_problem()
    if problem:
        logger.warning("nothing was learnt in the whole run: %s", problem)
    _write_status(trainer, run, LEARNT_NOTHING if problem else "finished")


def _describe_failure(
    error: BaseException, trainer: RecipeTrainer, run: TrainingRun, longest: int
) -> str | None:
    """The message for a failure that the user can fix; `None` for any other."""
    # These two have a remedy; every other error keeps its traceback.
    if is_out_of_memory(error):
        remedy = _memory_remedy(trainer, run.config, longest)
        return f"step {trainer.state.global_step}: out of memory: {remedy}"
    if is_disk_full(error, run.folder):
        intact = _latest_intact(run.folder)
        return (
            f"the disk of {run.folder} is full; what was saved before is intact ({intact}); "
            "free space, then run the same command again"
        )
    return None


def _memory_remedy(trainer: RecipeTrainer, config: Config, longest: int) -> str:
    """Which keys to change so that the run fits into memory."""
    from trl import GRPOConfig, ModelConfig

    # Without the lengths there is nothing to estimate with.
    if not longest:
        return OOM_REMEDY
    training_args: Any = trainer.args
    is_grpo = isinstance(training_args, GRPOConfig)
    plan = MemoryPlan.from_args(
        model_config(trainer),
        config.parse(ModelConfig),
        training_args,
        prompt_length=longest if is_grpo else 0,
        trace_length=0 if is_grpo else longest,
        generation_key=_generation_key(config),
    )
    if plan is None:
        return OOM_REMEDY
    # Processes of one machine share its memory, but each has a GPU of its own.
    sharing = 1 if has_accelerator() else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return memory_advice(plan, free_bytes() // sharing)


def _generation_key(config: Config) -> str | None:
    """The key by which the user sets how many completions are sampled at once."""
    for key in ("steps_per_generation", "generation_batch_size"):
        if config.is_set(key):
            return key
    return None


def _latest_intact(folder: Path) -> str:
    # Latest first.
    for path in list_checkpoints(folder):
        if not find_corruption(path):
            return path.name
    return "no checkpoint yet"
