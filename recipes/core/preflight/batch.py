"""Whether a GRPO batch holds whole groups: known before anything is loaded, and before any process is started."""

from dataclasses import dataclass

from recipes.core.errors import UserError


@dataclass
class BatchArguments:
    """TRL's keys that must fit together, with TRL's defaults; checked before anything is loaded."""

    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    steps_per_generation: int | None = None
    generation_batch_size: int | None = None
    num_generations: int = 8


def check_batch(args: BatchArguments, processes: int) -> None:
    """Raises `UserError` with the nearest combinations that work if the batch does not hold whole groups."""
    per_step = args.per_device_train_batch_size * processes
    batch = args.generation_batch_size or per_step * (
        args.steps_per_generation or args.gradient_accumulation_steps
    )
    if args.num_generations < 2:
        raise UserError(
            f"num_generations is {args.num_generations}; GRPO compares completions of one question: write 2 or more"
        )
    if batch % per_step:
        raise UserError(
            f"generation_batch_size {batch} is not a multiple of per_device_train_batch_size x processes = {per_step}"
        )
    if batch % args.num_generations:
        divisors = [n for n in range(2, batch + 1) if batch % n == 0]
        near = sorted(divisors, key=lambda n: abs(n - args.num_generations))[:3]
        raise UserError(
            f"num_generations {args.num_generations} does not divide the batch of {batch} completions "
            f"(per_device_train_batch_size {args.per_device_train_batch_size} x processes {processes} x "
            f"{batch // per_step} steps). Write num_generations: {' or '.join(map(str, sorted(near)))}, "
            f"or a batch that is a multiple of {args.num_generations}"
        )
