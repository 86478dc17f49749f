"""Which nearest setting fits into a device's memory, and how much of it there is.

    plan = facts(config, model_args, training_args, prompt_length=512)
    if plan and total(plan) * MARGIN > free_bytes():
        raise UserError(advice(plan, free_bytes()))

What fits keeps the batch of a step: smaller batches and more steps, then checkpointing, then the optimiser's states in 8 bits.
Whatever changes more is only named.
"""

from collections.abc import Iterator
from dataclasses import replace

from recipes.core.memory.estimate import estimate_total
from recipes.core.memory.plan import MemoryPlan

MARGIN = 1.1  # what has to be free, over the estimate


def find_fitting_plan(plan: MemoryPlan, budget: float) -> MemoryPlan | None:
    """The nearest plan with the same batch a step that fits into `budget` bytes, `plan` itself first; `None` if there is none."""
    return next(
        (near for near in smaller_plans(plan) if estimate_total(near) * MARGIN <= budget), None
    )


def smaller_plans(plan: MemoryPlan) -> Iterator[MemoryPlan]:
    """Plans with ever fewer bytes: smaller batches, then with checkpointing, then with the optimiser's states in 8 bits."""
    optims = [plan.optim]
    if (
        "adamw" in plan.optim
        and "bit" not in plan.optim
        and plan.accelerator
        and not plan.sharding.startswith(("zero", "fsdp"))
    ):
        optims.append("adamw_bnb_8bit")
    for optim in optims:
        for checkpointing in sorted({plan.gradient_checkpointing, True}):
            near: MemoryPlan | None = replace(
                plan, optim=optim, gradient_checkpointing=checkpointing
            )
            while near:
                yield from _smaller_generations(near)
                near = _halved(near)


def _halved(plan: MemoryPlan) -> MemoryPlan | None:
    batch, steps = plan.per_device_train_batch_size, plan.gradient_accumulation_steps
    if batch % 2:
        return None
    return replace(
        plan, per_device_train_batch_size=batch // 2, gradient_accumulation_steps=2 * steps
    )


def _smaller_generations(plan: MemoryPlan) -> Iterator[MemoryPlan]:
    """`plan`, then the same completions drawn in 2, 4 ... parts of whole groups."""
    yield plan
    rows = plan.generation_rows
    while (
        rows
        and rows % (2 * plan.per_device_train_batch_size) == 0
        and rows // 2 * plan.processes % plan.num_generations == 0
    ):
        rows //= 2
        yield replace(plan, generation_rows=rows)


def setting_changes(old: MemoryPlan, new: MemoryPlan) -> dict[str, int | bool | str]:
    """The keys to write to get from `old` to `new`."""
    keys = (
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "gradient_checkpointing",
        "optim",
    )
    changed = {key: getattr(new, key) for key in keys if getattr(new, key) != getattr(old, key)}
    if old.generation_key == "generation_batch_size":
        before, after = (plan.generation_rows * plan.processes for plan in (old, new))
    else:  # TRL's default is gradient_accumulation_steps, the new one's
        before = old.generation_rows // old.per_device_train_batch_size
        before = before if old.generation_key else new.gradient_accumulation_steps * bool(before)
        after = new.generation_rows // new.per_device_train_batch_size
    return changed | (
        {} if before == after else {old.generation_key or "steps_per_generation": after}
    )


def render_advice(plan: MemoryPlan, budget: float) -> str:
    """One sentence for a run that does not fit into `budget` bytes: what it needs, and which keys to write. It may have been
    thought to fit, and ran out all the same: then what is looked for needs a fifth less."""
    needed = estimate_total(plan)
    start = f"about {_gib(needed)} are needed and {_gib(budget)} are there"
    if needed * MARGIN <= budget:
        start, budget = (
            f"{_gib(budget)} are there and were not enough, against an estimate of {_gib(needed)}",
            0.8 * needed * MARGIN,
        )
    found = find_fitting_plan(plan, budget)
    if found:
        return (
            f"{start}; write {_format_changes(plan, found)} (about {_gib(estimate_total(found))})"
        )
    least = min(smaller_plans(plan), key=estimate_total)
    even = (
        f", not even with {_format_changes(plan, least)} (about {_gib(estimate_total(least))})"
        if setting_changes(plan, least)
        else ""
    )
    key = "max_completion_length" if plan.generation_rows or plan.prompt_length else "max_length"
    half = least.completion_length // 2
    helps = {f"`{key}: {half}`": replace(least, completion_length=half)}
    if plan.shape.adapted and plan.bits == 16:
        helps["`load_in_4bit: true`"] = replace(least, bits=4)
    if plan.sharding not in ("zero3", "fsdp2"):
        helps[f"zero3 with {2 * plan.processes} processes"] = replace(
            least, sharding="zero3", processes=2 * plan.processes
        )
    helping = [
        f"{what} (about {_gib(estimate_total(with_it))})"
        for what, with_it in helps.items()
        if estimate_total(with_it) < 0.95 * estimate_total(least)
    ]
    helping += [] if plan.shape.adapted else ["`use_peft: true`"]
    return f"{start}, and nothing near fits{even}; what helps: {', '.join([*helping, 'a smaller model'])}"


def _format_changes(old: MemoryPlan, new: MemoryPlan) -> str:
    return " and ".join(
        f"`{key}: {str(value).lower()}`" for key, value in setting_changes(old, new).items()
    )


def _gib(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"
