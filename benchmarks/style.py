"""Measures how densely the code is written, and whether it stays within the gates of this repository.

    python -m benchmarks.style [FOLDER ...]

For each package: characters per non-blank line, lines over 100 characters, lines that are only a
comment, lines of docstrings, and conditional expressions, comprehensions, nested ones, assignments
of tuples and walruses per 1,000 code lines. Code lines are the non-blank lines that are neither
comment nor docstring. For each `main`: its lines from `def` to the end, its local names, and how
many different functions it calls. Exits with 1 if a gate is missed.
"""

import argparse
import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_LENGTH = 100

# The gates. Own-line comments are a minimum, all others are maxima.
MAX_LONG_LINES = 1.0  # % of all lines
MIN_COMMENTS = 5.0  # % of all lines
MAX_CONDITIONALS = 20.0  # per 1,000 code lines
MAX_COMPREHENSIONS = 35.0  # per 1,000 code lines
MAX_MAIN_LINES = 60
MAX_MAIN_LOCALS = 15

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Density:
    """Counts over the files of a package."""

    lines: int = 0
    non_blank: int = 0
    characters: int = 0
    long_lines: int = 0
    comments: int = 0
    docstrings: int = 0
    conditionals: int = 0
    comprehensions: int = 0
    nested_comprehensions: int = 0
    tuple_assignments: int = 0
    walruses: int = 0

    @property
    def code_lines(self) -> int:
        """Non-blank lines that are neither comment nor docstring."""
        return self.non_blank - self.comments - self.docstrings

    def percent(self, count: int) -> float:
        """`count` in % of all lines."""
        return 100 * count / max(1, self.lines)

    def per_thousand(self, count: int) -> float:
        """`count` per 1,000 code lines."""
        return 1000 * count / max(1, self.code_lines)

    def add(self, source: str) -> None:
        """Counts one file."""
        for line in source.splitlines():
            self.lines += 1
            self.long_lines += len(line) > MAX_LENGTH
            if line.strip():
                self.non_blank += 1
                self.characters += len(line.rstrip())
        self.comments += count_comment_lines(source)
        tree = ast.parse(source)
        self.docstrings += count_docstring_lines(tree, source)
        for node in ast.walk(tree):
            self._count(node)

    def _count(self, node: ast.AST) -> None:
        if isinstance(node, ast.IfExp):
            self.conditionals += 1
        elif isinstance(node, ast.NamedExpr):
            self.walruses += 1
        elif isinstance(node, ast.Assign):
            is_tuple = isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
            self.tuple_assignments += is_tuple
        elif isinstance(node, COMPREHENSIONS):
            self.comprehensions += 1
            inner = [child for child in ast.walk(node) if isinstance(child, COMPREHENSIONS)]
            self.nested_comprehensions += len(inner) > 1 or len(node.generators) > 1


@dataclass(frozen=True)
class Main:
    """The size of one function called `main`."""

    path: Path
    lines: int
    local_names: int
    calls: int


def count_comment_lines(source: str) -> int:
    """Lines that hold a comment and nothing else."""
    count = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
            count += 1
    return count


def count_docstring_lines(tree: ast.Module, source: str) -> int:
    """Non-blank lines of all docstrings."""
    lines = source.splitlines()
    count = 0
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
            continue
        if ast.get_docstring(node) is None:
            continue
        docstring = node.body[0]
        for number in range(docstring.lineno, (docstring.end_lineno or 0) + 1):
            count += bool(lines[number - 1].strip())
    return count


def find_mains(path: Path) -> Iterator[Main]:
    """The functions called `main` in a file."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, FUNCTIONS) and node.name == "main":
            names = set()
            calls = set()
            for child in ast.walk(node):
                if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                    names.add(child.id)
                elif isinstance(child, ast.Call):
                    calls.add(ast.unparse(child.func))
            lines = (node.end_lineno or 0) - node.lineno + 1
            yield Main(path, lines, len(names), len(calls))


def measure(folder: Path) -> Density:
    """The density of all Python files below a folder."""
    density = Density()
    for path in sorted(folder.rglob("*.py")):
        density.add(path.read_text(encoding="utf-8"))
    return density


def find_misses(name: str, density: Density) -> list[str]:
    """The gates that a package misses."""
    gates = (
        ("lines over 100 characters, %", density.percent(density.long_lines), MAX_LONG_LINES),
        (
            "conditional expressions per 1,000 code lines",
            density.per_thousand(density.conditionals),
            MAX_CONDITIONALS,
        ),
        (
            "comprehensions per 1,000 code lines",
            density.per_thousand(density.comprehensions),
            MAX_COMPREHENSIONS,
        ),
    )
    misses = [
        f"{name}: {gate}: {value:.1f} > {limit}" for gate, value, limit in gates if value > limit
    ]
    comments = density.percent(density.comments)
    if comments < MIN_COMMENTS:
        misses.append(f"{name}: lines that are a comment, %: {comments:.1f} < {MIN_COMMENTS}")
    return misses


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    folders = parser.parse_args().folders or [Path("recipes"), Path("rewards")]

    # One line per package.
    misses = []
    for folder in folders:
        density = measure(folder)
        sys.stdout.write(describe(str(folder), density))
        misses += find_misses(str(folder), density)

    # One line per main.
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            for found in find_mains(path):
                sys.stdout.write(
                    f"{path}: main has {found.lines} lines, {found.local_names} local names, "
                    f"{found.calls} different calls\n"
                )
                if found.lines > MAX_MAIN_LINES or found.local_names > MAX_MAIN_LOCALS:
                    misses.append(f"{path}: main is too large")

    for miss in misses:
        sys.stdout.write(f"MISSED  {miss}\n")
    sys.exit(1 if misses else 0)


def describe(name: str, density: Density) -> str:
    """The measurements of a package as one paragraph."""
    return (
        f"{name}: {density.lines:,} lines, {density.code_lines:,} of them code; "
        f"{density.characters / max(1, density.non_blank):.1f} characters per non-blank line\n"
        f"  over 100 characters {density.percent(density.long_lines):.1f} %, "
        f"comments {density.percent(density.comments):.1f} %, "
        f"docstrings {density.percent(density.docstrings):.1f} %\n"
        f"  per 1,000 code lines: conditional expressions "
        f"{density.per_thousand(density.conditionals):.0f}, comprehensions "
        f"{density.per_thousand(density.comprehensions):.0f}, nested "
        f"{density.per_thousand(density.nested_comprehensions):.0f}, tuple assignments "
        f"{density.per_thousand(density.tuple_assignments):.0f}, walruses "
        f"{density.per_thousand(density.walruses):.0f}\n"
    )


if __name__ == "__main__":
    main()
