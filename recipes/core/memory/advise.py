"""Which nearest setting fits into a device's memory, and how much of it there is.

    plan = facts(config, model_args, training_args, prompt_length=512)
    if plan and total(plan) * MARGIN > free_bytes():
        raise UserError(advice(plan, free_bytes()))

What fits keeps the batch of a step: smaller batches and more steps, then checkpointing, then the optimiser's states in 8 bits.
Whatever changes more is only named.
"""

import resource
from collections.abc import Iterator
from dataclasses import replace

import psutil

from recipes.core.memory.estimate import total
from recipes.core.memory.plan import Plan
from recipes.core.runtime.device import has_accelerator

MARGIN = 1.1  # what has to be free, over the estimate


def fitting(plan: Plan, budget: float) -> Plan | None:
    """The nearest plan with the same batch a step that fits into `budget` bytes, `plan` itself first; `None` if there is none."""
    return next((near for near in _near(plan) if total(near) * MARGIN <= budget), None)


def _near(plan: Plan) -> Iterator[Plan]:
    """Plans with ever fewer bytes: smaller batches, then with checkpointing, then with the optimiser's states in 8 bits."""
    optims = [plan.optim]
    if "adamw" in plan.optim and "bit" not in plan.optim and plan.accelerator and not plan.sharding.startswith(("zero", "fsdp")):
        optims.append("adamw_bnb_8bit")
    for optim in optims:
        for checkpointing in sorted({plan.gradient_checkpointing, True}):
            near: Plan | None = replace(plan, optim=optim, gradient_checkpointing=checkpointing)
            while near:
                yield from _smaller_generations(near)
                near = _halved(near)


def _halved(plan: Plan) -> Plan | None:
    batch, steps = plan.per_device_train_batch_size, plan.gradient_accumulation_steps
    if batch % 2:
        return None
    return replace(plan, per_device_train_batch_size=batch // 2, gradient_accumulation_steps=2 * steps)


def _smaller_generations(plan: Plan) -> Iterator[Plan]:
    """`plan`, then the same completions drawn in 2, 4 ... parts of whole groups."""
    yield plan
    rows = plan.generation_rows
    while rows and rows % (2 * plan.per_device_train_batch_size) == 0 and rows // 2 * plan.processes % plan.num_generations == 0:
        rows //= 2
        yield replace(plan, generation_rows=rows)


def changes(old: Plan, new: Plan) -> dict[str, int | bool | str]:
    """The keys to write to get from `old` to `new`."""
    keys = ("per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "optim")
    changed = {key: getattr(new, key) for key in keys if getattr(new, key) != getattr(old, key)}
    if old.generation_key == "generation_batch_size":
        before, after = (plan.generation_rows * plan.processes for plan in (old, new))
    else:  # TRL's default is gradient_accumulation_steps, the new one's
        before = old.generation_rows // old.per_device_train_batch_size
        before = before if old.generation_key else new.gradient_accumulation_steps * bool(before)
        after = new.generation_rows // new.per_device_train_batch_size
    return changed | ({} if before == after else {old.generation_key or "steps_per_generation": after})


def advice(plan: Plan, budget: float) -> str:
    """One sentence for a run that does not fit into `budget` bytes: what it needs, and which keys to write. It may have been
    thought to fit, and ran out all the same: then what is looked for needs a fifth less."""
    needed = total(plan)
    start = f"about {_gib(needed)} are needed and {_gib(budget)} are there"
    if needed * MARGIN <= budget:
        start, budget = (
            f"{_gib(budget)} are there and were not enough, against an estimate of {_gib(needed)}",
            0.8 * needed * MARGIN,
        )
    found = fitting(plan, budget)
    if found:
        return f"{start}; write {_written(plan, found)} (about {_gib(total(found))})"
    least = min(_near(plan), key=total)
    even = f", not even with {_written(plan, least)} (about {_gib(total(least))})" if changes(plan, least) else ""
    key = "max_completion_length" if plan.generation_rows or plan.prompt_length else "max_length"
    half = least.completion_length // 2
    helps = {f"`{key}: {half}`": replace(least, completion_length=half)}
    if plan.shape.adapted and plan.bits == 16:
        helps["`load_in_4bit: true`"] = replace(least, bits=4)
    if plan.sharding not in ("zero3", "fsdp2"):
        helps[f"zero3 with {2 * plan.processes} processes"] = replace(least, sharding="zero3", processes=2 * plan.processes)
    helping = [f"{what} (about {_gib(total(with_it))})" for what, with_it in helps.items() if total(with_it) < 0.95 * total(least)]
    helping += [] if plan.shape.adapted else ["`use_peft: true`"]
    return f"{start}, and nothing near fits{even}; what helps: {', '.join([*helping, 'a smaller model'])}"


def _written(old: Plan, new: Plan) -> str:
    return " and ".join(f"`{key}: {str(value).lower()}`" for key, value in changes(old, new).items())


def _gib(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"


def out_of_memory(error: BaseException) -> bool:
    """Whether `error`, or one that it came from, says that the device's memory was not enough."""
    import torch

    chain, seen = [error], set[int]()
    while chain:
        link = chain.pop()
        seen.add(id(link))
        # torch's CPU allocator has no class of its own: c10/core/impl/alloc_cpu.cpp, "can't allocate memory" or "not enough memory"
        if isinstance(link, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator: " in str(link):
            return True
        chain += [before for before in (link.__cause__, link.__context__) if before is not None and id(before) not in seen]
    return False


def free_bytes() -> int:
    """Bytes of the device that a process may fill: all of its current GPU; on a CPU, what is free and what the process has already,
    up to `ulimit -v`. Processes of one machine share the latter."""
    if has_accelerator():
        import torch

        return torch.accelerator.get_memory_info()[1]
    free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return free if limit == resource.RLIM_INFINITY else min(free, limit)
