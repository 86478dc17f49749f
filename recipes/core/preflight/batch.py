"""Checks that a GRPO batch divides into whole groups of completions.

The check needs configuration keys alone, so it runs before anything is loaded or launched.
"""

from dataclasses import dataclass

from recipes.core.errors import UserError

TOO_FEW_GENERATIONS = (
    "num_generations is {num_generations}; "
    "GRPO compares the completions of one question: write 2 or more"
)
PARTIAL_STEP = (
    "generation_batch_size {batch} is not a multiple of "
    "per_device_train_batch_size x processes = {per_step}"
)
PARTIAL_GROUP = (
    "num_generations {num_generations} does not divide the batch of {batch} completions "
    "(per_device_train_batch_size {per_device} x processes {processes} x {steps} steps). "
    "Write num_generations: {nearest}, or a batch that is a multiple of {num_generations}"
)


NO_STEP = (
    "a step needs {needed} questions ({batch} completions, {num_generations} per question), and "
    "there are {questions}, so that nothing would be trained. Write a smaller "
    "per_device_train_batch_size or gradient_accumulation_steps, or a larger num_generations"
)


@dataclass
class BatchArguments:
    """TRL's keys that must fit together, with TRL's defaults."""

    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    steps_per_generation: int | None = None
    generation_batch_size: int | None = None
    num_generations: int = 8


def check_batch(args: BatchArguments, processes: int) -> None:
    """Raises `UserError`, with the nearest settings that work, unless all groups are whole."""
    if args.num_generations < 2:
        raise UserError(TOO_FEW_GENERATIONS.format(num_generations=args.num_generations))

    # A generation must fill whole training steps of all processes.
    per_step = args.per_device_train_batch_size * processes
    steps = args.steps_per_generation or args.gradient_accumulation_steps
    batch = args.generation_batch_size or per_step * steps
    if batch % per_step:
        raise UserError(PARTIAL_STEP.format(batch=batch, per_step=per_step))

    # And it must hold every completion of each of its questions.
    if batch % args.num_generations:
        nearest = _nearest_divisors(batch, args.num_generations)
        raise UserError(
            PARTIAL_GROUP.format(
                num_generations=args.num_generations,
                batch=batch,
                per_device=args.per_device_train_batch_size,
                processes=processes,
                steps=batch // per_step,
                nearest=" or ".join(str(divisor) for divisor in nearest),
            )
        )


def check_one_step(questions: int, batch: int, num_generations: int) -> None:
    """Raises `UserError` if the questions do not fill one step.

    TRL leaves out a batch that is not full, and would train on nothing.

    Args:
        questions: how many there are once the filters have left some out.
        batch: completions of a step, of all processes.
        num_generations: completions per question.
    """
    # A step has as many questions as whole groups.
    needed = batch // num_generations
    if questions < needed:
        raise UserError(
            NO_STEP.format(
                needed=needed, batch=batch, num_generations=num_generations, questions=questions
            )
        )


def _nearest_divisors(batch: int, wanted: int) -> list[int]:
    """The three group sizes nearest to `wanted` that divide `batch`, in ascending order."""
    # One completion is no group, so 1 is left out.
    divisors = [size for size in range(2, batch + 1) if batch % size == 0]
    divisors.sort(key=lambda size: abs(size - wanted))
    return sorted(divisors[:3])
