"""How a trainer is run: what it shows while it trains, when it stops, and what it leaves."""

import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl.trainer.utils import RepeatSampler

from recipes.core.config.keys import UserError
from recipes.core.memory import advise as fitting
from recipes.core.memory.plan import Plan
from recipes.core.runs import checkpoints, manifest
from recipes.core.runtime import watchdog as watch
from recipes.core.runtime.device import has_accelerator
from recipes.core.runtime.entrypoint import Stopped

# What a line shows of a step's metrics, under short names; all of them are in trainer_state.json.
_SHOWN = {
    "loss": "loss",
    "eval_loss": "eval loss",
    "mean_token_accuracy": "token accuracy",
    "reward": "reward",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "cut off",
    "frac_reward_zero_std": "idle groups",
    "kl": "kl",
    "entropy": "entropy",
}


class ShortProgress(ProgressCallback):
    """The progress bar, with one short line per log instead of every metric."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero or self.training_bar is None:
            return
        shown = {f"{key.split('/')[1]}": value for key, value in logs.items() if key.startswith("rewards/") and "/mean" in key}
        shown |= {short: logs[key] for key, short in _SHOWN.items() if logs.get(key) is not None}
        if shown:
            line = "  ".join(
                f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in shown.items()
            )
            self.training_bar.write(f"step {state.global_step:>4}/{state.max_steps}  {line}")


class Stop(TrainerCallback):
    """Ends training after `seconds`, by the clock of the first process; and, once any process was sent SIGTERM, after the step
    under way, which is saved. `stopped` tells the two apart."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.asked = self.stopped = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        over = self.seconds is not None and time.perf_counter() - self.started >= self.seconds and args.process_index == 0
        flags = torch.tensor([self.asked, over], dtype=torch.int32, device=args.device)
        if args.world_size > 1:
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        asked, over = map(bool, flags.tolist())
        # A run that has done its last step is finished, whatever it was sent.
        self.stopped = asked and not control.should_training_stop
        control.should_save |= self.stopped
        control.should_training_stop |= asked or over


class SameOrder(TrainerCallback):
    """Tells every sampler which epoch begins, so that the order of the rows is the same in a run that goes on in its middle.

    transformers tells only those it finds, not all behind accelerate's shards; the sampler of `group_by_length` draws from torch's
    own generator and GRPO's from one of its own, and neither's state at the beginning of the epoch is in a checkpoint.
    """

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        epoch, sampler = int((state.epoch or 0) + 1e-6), kwargs["train_dataloader"]
        while sampler := getattr(sampler, "batch_sampler", None) or getattr(sampler, "sampler", None):
            if isinstance(sampler, LengthGroupedSampler | RepeatSampler):
                sampler.generator = torch.Generator().manual_seed(args.seed + epoch)
            elif hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)


class Keep(TrainerCallback):
    """Seals each checkpoint, reads the first one back, and only then removes old ones; tells the watch what is done."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.read_back = False

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        watch.did(f"step {state.global_step}: computing the loss")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        watch.did(f"step {state.global_step} done: evaluating or saving")

    def on_prediction_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        watch.did(f"step {state.global_step} done: evaluating")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        folder = Path(str(args.output_dir))
        checkpoint = folder / f"checkpoint-{state.global_step}"
        names = [] if self.read_back else saved_names(kwargs["model"])

        def keep() -> None:
            if not self.read_back:
                checkpoints.read_back(checkpoint, names, tied_names(kwargs["model"]))
            checkpoints.seal(checkpoint)
            checkpoints.remove_old(folder, self.limit, state.best_model_checkpoint)

        first_process(args, keep)
        self.read_back = True


def saved_names(model: Any) -> list[str] | None:
    """The names that `save_pretrained` gives to the tensors of a model, or of its adapter; `None` for a model that transformers
    saves under other names than it trains it, such as one with experts."""
    from peft import PeftModel, get_peft_model_state_dict
    from transformers.conversion_mapping import get_model_conversion_mapping

    if isinstance(model, PeftModel):
        return list(get_peft_model_state_dict(model))
    return None if get_model_conversion_mapping(model, add_legacy=False) else list(model.state_dict())


def tied_names(model: Any) -> list[str]:
    """Patterns of the names that are saved under another one."""
    return list(getattr(model, "_tied_weights_keys", None) or [])


def first_process(args: TrainingArguments, work: Any) -> None:
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


def train(
    trainer: Trainer,
    stage: str,
    made_of: dict[str, Any],
    checkpoint: str | None,
    started: float,
    max_seconds: float | None = None,
    plan: Callable[[], Plan | None] = lambda: None,
) -> None:
    """Trains from `checkpoint` (or step 0) and leaves the model, its metrics and its manifest in the trainer's `output_dir`.

    Raises `Stopped` if a process was sent SIGTERM: then there is a checkpoint of the last step, and no model yet. If memory runs
    out, `plan` says what the run needs, and the `UserError` which keys to change.
    """
    args: Any = trainer.args
    stop, folder = Stop(max_seconds), Path(args.output_dir)
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)  # one of the two is what transformers chose to print with
    for callback in (ShortProgress, stop, Keep(args.save_total_limit), SameOrder):
        trainer.add_callback(callback)
    args.save_total_limit = None  # Trainer would remove old checkpoints before the new one is known to be good
    watch.did("preparing to train")
    watch.set_limit(args.ddp_timeout)
    path = folder / "manifest.json"
    facts: dict[str, Any] = {"processes": args.world_size, "distributed_type": trainer.accelerator.distributed_type.value}
    if "wandb" in args.report_to:
        facts["wandb_run_id"] = manifest.read(path).get("wandb_run_id") or uuid.uuid4().hex[:8]
        os.environ |= {"WANDB_RUN_ID": facts["wandb_run_id"], "WANDB_RESUME": "allow"}

    def note(**more: Any) -> None:
        if trainer.is_world_process_zero():
            manifest.write(path, stage, made_of, started, **facts, steps=trainer.state.global_step, **more)

    note(status="running")
    signal.signal(signal.SIGTERM, stop.ask)
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
        if stop.stopped:
            note(status="stopped")
            without = "without resume_from_checkpoint " if args.resume_from_checkpoint else ""
            raise Stopped(f"{folder}/checkpoint-{trainer.state.global_step} is saved; {without}")
        watch.did("saving the model")
        trainer.save_model()
        names = saved_names(trainer.model)
        first_process(args, lambda: checkpoints.read_back(folder, names, tied_names(trainer.model)))
        trainer.save_state()
        note(status="finished")
    except (OSError, RuntimeError, MemoryError) as error:
        if fitting.out_of_memory(error):
            planned = plan()
            cure = "write a smaller per_device_train_batch_size, and a larger gradient_accumulation_steps for the same batch"
            here = 1 if has_accelerator() else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes that share a memory
            cure = fitting.advice(planned, fitting.free_bytes() // here) if planned else cure
            raise UserError(f"step {trainer.state.global_step}: out of memory: {cure}") from error
        if not checkpoints.disk_full(error, folder):
            raise
        good = next((path.name for path in checkpoints.all_in(folder) if not checkpoints.damage(path)), "no checkpoint yet")
        raise UserError(f"the disk of {folder} is full; what was saved before stays ({good}); free space, then go on") from error
    trainer.end()
