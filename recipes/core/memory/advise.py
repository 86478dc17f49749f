"""Advises on a run that does not fit into memory: which settings to write instead.

    plan = MemoryPlan.from_args(config, model_args, training_args, prompt_length=512)
    if plan and estimate_total(plan) * MARGIN > free_bytes():
        raise UserError(memory_advice(plan, free_bytes()))

A suggestion that fits keeps the number of rows in each optimiser step: first smaller batches with
more accumulation steps, then checkpointing, then optimiser states in 8 bits. If none of these
fits, larger changes are listed as alternatives, each with the bytes that it would need.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from recipes.core.memory.estimate import estimate_total
from recipes.core.memory.plan import MemoryPlan

Setting = int | bool | str

MARGIN = 1.1  # free memory that a plan must have, relative to its estimate
RETRY_FRACTION = 0.8  # the next target if a run failed that was estimated to fit
WORTHWHILE_FRACTION = 0.95  # an alternative that needs more than this is not listed

# The settings, beside the size of generation, in which smaller_plans differ from their plan.
SEARCHED_KEYS = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "optim",
)

SHORTAGE = "the run needs about {needed}, but {available} are available"
UNDERESTIMATE = "{available} were not enough, although the run was estimated to need {needed}"
ADVICE = "{problem}; write {suggestion}"
NO_FIT = "{problem}, and no setting with the same batch fits{closest}; what helps: {alternatives}"


@dataclass(frozen=True)
class Suggestion:
    """A change of the run, and the bytes that the run then needs where they are known."""

    settings: str
    bytes: int | None = None

    def __str__(self) -> str:
        if self.bytes is None:
            return self.settings
        return f"{self.settings} (about {_format_gib(self.bytes)})"


def memory_advice(plan: MemoryPlan, available: float) -> str:
    """One sentence for a run that does not fit into `available` bytes.

    If the estimate fits but the run still failed, the target is lowered by 20 %.
    """
    needed = estimate_total(plan)
    target = available
    if needed * MARGIN <= available:
        target = RETRY_FRACTION * needed * MARGIN

    fitting = find_fitting_plan(plan, target)
    if fitting:
        return render_advice(needed, available, _suggest(plan, fitting), [])

    # Nothing fits: show how close the search came, and what would change the run itself.
    smallest = min(smaller_plans(plan), key=estimate_total)
    closest = _suggest(plan, smallest) if setting_changes(plan, smallest) else None
    return render_advice(needed, available, closest, find_alternatives(smallest))


def render_advice(
    needed: int,
    available: float,
    suggestion: Suggestion | None,
    alternatives: list[Suggestion],
) -> str:
    """The sentence that `memory_advice` returns.

    Without `alternatives` the suggestion fits. With them it is only the closest attempt, or
    `None` if there was nothing to try.
    """
    # The estimate may have promised what did not fit.
    template = UNDERESTIMATE if needed * MARGIN <= available else SHORTAGE
    problem = template.format(needed=_format_gib(needed), available=_format_gib(available))
    if not alternatives:
        return ADVICE.format(problem=problem, suggestion=suggestion)

    # Nothing fits: say how near it came, and what else there is.
    closest = f", not even {suggestion}" if suggestion else ""
    listed = ", ".join(str(alternative) for alternative in alternatives)
    return NO_FIT.format(problem=problem, closest=closest, alternatives=listed)


def find_fitting_plan(plan: MemoryPlan, budget: float) -> MemoryPlan | None:
    """The first of `smaller_plans` that fits into `budget` bytes; `None` if none does."""
    for smaller in smaller_plans(plan):
        if estimate_total(smaller) * MARGIN <= budget:
            return smaller
    return None


def smaller_plans(plan: MemoryPlan) -> Iterator[MemoryPlan]:
    """Plans with the same rows in each optimiser step, ordered by how much they change.

    The first is `plan` itself. Batches are halved before checkpointing is switched on, and that
    happens before the optimiser is replaced.
    """
    for optim in _optimizers(plan):
        for checkpointing in sorted({plan.gradient_checkpointing, True}):
            changed = replace(plan, optim=optim, gradient_checkpointing=checkpointing)
            for halved in _smaller_batches(changed):
                yield from _smaller_generations(halved)


def _optimizers(plan: MemoryPlan) -> list[str]:
    """The plan's optimiser, and the 8-bit one if it may replace it."""
    is_full_adamw = "adamw" in plan.optim and "bit" not in plan.optim
    is_sharded = plan.uses_deepspeed or plan.sharding.startswith("fsdp")
    # Not suggested on a CPU, nor where DeepSpeed or FSDP2 already shard the states.
    if is_full_adamw and plan.accelerator and not is_sharded:
        return [plan.optim, "adamw_bnb_8bit"]
    return [plan.optim]


def _smaller_batches(plan: MemoryPlan) -> Iterator[MemoryPlan]:
    """`plan`, then half its batch with twice the accumulation steps, and so on while even."""
    yield plan
    while plan.per_device_train_batch_size % 2 == 0:
        plan = replace(
            plan,
            per_device_train_batch_size=plan.per_device_train_batch_size // 2,
            gradient_accumulation_steps=plan.gradient_accumulation_steps * 2,
        )
        yield plan


def _smaller_generations(plan: MemoryPlan) -> Iterator[MemoryPlan]:
    """`plan`, then the same completions generated in 2, 4, ... parts of whole groups."""
    yield plan
    while plan.generation_rows and _can_halve_generation(plan):
        plan = replace(plan, generation_rows=plan.generation_rows // 2)
        yield plan


def _can_halve_generation(plan: MemoryPlan) -> bool:
    """Whether half the completions still hold whole training batches and whole groups."""
    whole_batches = plan.generation_rows % (2 * plan.per_device_train_batch_size) == 0
    half_of_all_processes = plan.generation_rows // 2 * plan.processes
    return whole_batches and half_of_all_processes % plan.num_generations == 0


def setting_changes(old: MemoryPlan, new: MemoryPlan) -> dict[str, Setting]:
    """The keys and values to write to get from `old` to `new`."""
    changes: dict[str, Setting] = {}
    for key in SEARCHED_KEYS:
        value: Setting = getattr(new, key)
        if value != getattr(old, key):
            changes[key] = value

    # The size of generation is written with the user's own key.
    key = old.generation_key or "steps_per_generation"
    before = _generation_size(old, key)
    if before and not old.generation_key:
        # TRL's default follows the accumulation steps, which may be among the changes.
        before = new.gradient_accumulation_steps
    after = _generation_size(new, key)
    if after != before:
        changes[key] = after
    return changes


def _generation_size(plan: MemoryPlan, key: str) -> int:
    """The value of `key` with which `plan.generation_rows` completions are generated at once."""
    if key == "generation_batch_size":
        return plan.generation_rows * plan.processes
    return plan.generation_rows // plan.per_device_train_batch_size


def find_alternatives(plan: MemoryPlan) -> list[Suggestion]:
    """Changes of the run itself that make `plan` smaller, with what each of them would need."""
    needed = estimate_total(plan)
    alternatives = []
    # Only changes that free much are worth their price.
    for settings, changed in _larger_changes(plan).items():
        needed_then = estimate_total(changed)
        if needed_then < WORTHWHILE_FRACTION * needed:
            alternatives.append(Suggestion(settings, needed_then))
    # These two always help; how much depends on more than the plan.
    if not plan.shape.adapted:
        alternatives.append(Suggestion("`use_peft: true`"))
    alternatives.append(Suggestion("a smaller model"))
    return alternatives


def _larger_changes(plan: MemoryPlan) -> dict[str, MemoryPlan]:
    """Plans for another run than the user's: shorter texts, 4-bit weights, more processes."""
    # The same length has another name in each stage.
    is_grpo = plan.generation_rows or plan.prompt_length
    length_key = "max_completion_length" if is_grpo else "max_length"
    half_length = plan.completion_length // 2
    changes = {f"`{length_key}: {half_length}`": replace(plan, completion_length=half_length)}
    if plan.shape.adapted and plan.bits == 16:
        changes["`load_in_4bit: true`"] = replace(plan, bits=4)
    if not plan.shards_weights:
        processes = 2 * plan.processes
        sharded = replace(plan, sharding="zero3", processes=processes)
        changes[f"zero3 with {processes} processes"] = sharded
    return changes


def _suggest(old: MemoryPlan, new: MemoryPlan) -> Suggestion:
    """The settings that turn `old` into `new`, as YAML in a sentence."""
    settings = []
    for key, value in setting_changes(old, new).items():
        settings.append(f"`{key}: {str(value).lower()}`")
    return Suggestion(" and ".join(settings), estimate_total(new))


def _format_gib(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"
