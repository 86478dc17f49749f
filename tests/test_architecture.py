"""Dependencies run downhill: no module imports a room above its own, nor rewards any recipe."""

import ast

import pytest

from tests.support.commands import ROOT

# The rooms from the ground up; a module may import its own level and those below.
LEVELS = (
    {"recipes.core.errors", "recipes.core.paths", "recipes.core.files", "rewards"},
    {"recipes.core.runtime"},
    {"recipes.core.config", "recipes.core.memory"},
    {"recipes.core.models", "recipes.core.prompts"},
    {"recipes.core.data", "recipes.core.runs"},
    {"recipes.core.generation", "recipes.core.training", "recipes.core.distillation"},
    {"recipes.core.evaluation"},
    {"recipes.core.preflight", "recipes.core.launch"},
    {"recipes"},  # the stages, the tools, and the recipes' own code
    {"benchmarks"},
)
# Rooms of one level that may import each other in this direction.
WITHIN_A_LEVEL = {
    ("recipes.core.launch", "recipes.core.preflight"),
    ("recipes.core.distillation", "recipes.core.generation"),
    ("recipes.core.training", "recipes.core.generation"),
    ("recipes.core.runs", "recipes.core.data"),
    ("recipes.core.files", "recipes.core.errors"),
}
MODULES = sorted(
    path.relative_to(ROOT)
    for folder in ("recipes", "rewards", "benchmarks")
    for path in ROOT.glob(f"{folder}/**/*.py")
)


def room_and_level(module):
    """The room that a module belongs to, and its level: the longest prefix among `LEVELS`."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        room = ".".join(parts[:length])
        for level, rooms in enumerate(LEVELS):
            if room in rooms:
                return room, level
    return None


def imported_modules(path):
    """The modules of this repository that a file imports, also inside functions."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_what_lies_below_it(path):
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    own = room_and_level(module)
    if own is None:  # recipes.core itself has no code
        return
    room, level = own
    for imported in imported_modules(path):
        target = room_and_level(imported)
        if target is None or target[0] == room:
            continue
        other_room, other_level = target
        allowed = other_level < level or (room, other_room) in WITHIN_A_LEVEL
        assert allowed, f"{module} (level {level}) imports {imported} (level {other_level})"


def test_the_levels_cover_every_room():
    rooms = {path.parent.name for path in ROOT.glob("recipes/core/*/__init__.py")}
    listed = {room.split(".")[2] for level in LEVELS for room in level if room.count(".") == 2}
    assert rooms <= listed
