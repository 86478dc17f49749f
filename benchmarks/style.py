"""Measures how densely the code is written, and checks the result against this repository's gates.

    python -m benchmarks.style [PATH ...]        default: recipes rewards

Prints three blocks and exits with 1 if a gate fails. A PATH is a file, or a folder whose Python
files are counted together.

Density   one line per PATH
Mains     every function called `main` on the top level of a file
Gates     ok or FAIL for each limit below

Definitions
    code lines           non-blank lines that are neither an own-line comment nor a docstring
    characters           per non-blank line, without indentation
    long lines           over 100 characters with indentation; % of all lines
    comments             lines with a comment and nothing else; % of all lines
    docstrings           lines of docstrings, their blank lines too; % of all lines
    conditionals         expressions `a if b else c`; per 1,000 code lines, like all that follow
    comprehensions       of lists, sets and dicts, and generator expressions
    nested               comprehensions that contain another one or have two `for`
    tuple assignments    `a, b = x, y`: a tuple on both sides
    walruses             `:=`
    lines of a main      from `def` to its end, blank lines too
    locals of a main     the names that it binds, loop variables too
    calls of a main      the different functions that it calls
"""

import argparse
import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PATHS = [Path("recipes"), Path("rewards")]

MAX_LINE_LENGTH = 100

# The gates. Shares are % of all lines; conditionals and comprehensions are per 1,000 code lines.
MAX_LONG_LINES = 1.0
MIN_COMMENTS = 5.0
MAX_CONDITIONALS = 20.0
MAX_COMPREHENSIONS = 35.0
MAX_MAIN_LINES = 60
MAX_MAIN_LOCALS = 15

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Density:
    """Counts over any number of files."""

    lines: int = 0
    code_lines: int = 0
    non_blank: int = 0
    characters: int = 0
    long_lines: int = 0
    comments: int = 0
    docstrings: int = 0
    conditionals: int = 0
    comprehensions: int = 0
    nested: int = 0
    tuple_assignments: int = 0
    walruses: int = 0

    def add(self, source: str) -> None:
        """Counts one file."""
        tree = ast.parse(source)
        comments = find_comment_lines(source)
        docstrings = find_docstring_lines(tree)
        self.comments += len(comments)
        self.docstrings += len(docstrings)

        # Line by line: a blank line inside a docstring is part of it, but never a code line.
        for number, line in enumerate(source.splitlines(), start=1):
            text = line.strip()
            self.lines += 1
            self.long_lines += len(line) > MAX_LINE_LENGTH
            if text:
                self.non_blank += 1
                self.characters += len(text)
                self.code_lines += number not in comments | docstrings

        # Node by node: nested expressions count as often as they occur.
        for node in ast.walk(tree):
            self._add_expression(node)

    def _add_expression(self, node: ast.AST) -> None:
        if isinstance(node, ast.IfExp):
            self.conditionals += 1
        elif isinstance(node, ast.NamedExpr):
            self.walruses += 1
        elif isinstance(node, ast.Assign):
            is_unpacked = isinstance(node.targets[0], ast.Tuple)
            self.tuple_assignments += is_unpacked and isinstance(node.value, ast.Tuple)
        elif isinstance(node, COMPREHENSIONS):
            inside = [child for child in ast.walk(node) if isinstance(child, COMPREHENSIONS)]
            self.comprehensions += 1
            self.nested += len(inside) > 1 or len(node.generators) > 1

    def characters_per_line(self) -> float:
        """Characters per non-blank line."""
        return self.characters / max(1, self.non_blank)

    def percent(self, count: int) -> float:
        """`count` in % of all lines."""
        return 100 * count / max(1, self.lines)

    def per_thousand(self, count: int) -> float:
        """`count` per 1,000 code lines."""
        return 1000 * count / max(1, self.code_lines)


@dataclass(frozen=True)
class MainFunction:
    """The size of a function called `main`."""

    file: Path
    lines: int
    local_names: int
    calls: int


@dataclass(frozen=True)
class Gate:
    """A measurement and its limit: a maximum, or a minimum if `is_minimum`."""

    name: str
    value: float
    limit: float
    is_minimum: bool = False

    @property
    def passed(self) -> bool:
        """Whether the value is within the limit; the limit itself is."""
        if self.is_minimum:
            return self.value >= self.limit
        return self.value <= self.limit

    def __str__(self) -> str:
        result = "ok  " if self.passed else "FAIL"
        relation = "at least" if self.is_minimum else "at most"
        return f"{result}  {self.name}: {self.value:.4g} ({relation} {self.limit:g})"


def python_files(path: Path) -> list[Path]:
    """The file itself, or all Python files of a folder."""
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    return [path]


def measure_density(path: Path) -> Density:
    """The density of a file or of all files of a folder."""
    density = Density()
    for file in python_files(path):
        density.add(file.read_text(encoding="utf-8"))
    return density


def find_comment_lines(source: str) -> set[int]:
    """The numbers of the lines with a comment and nothing else."""
    numbers = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
            numbers.add(token.start[0])
    return numbers


def find_docstring_lines(tree: ast.Module) -> set[int]:
    """The numbers of the lines of all docstrings."""
    numbers: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) and ast.get_docstring(node):
            docstring = node.body[0]
            numbers.update(range(docstring.lineno, _end_line(docstring) + 1))
    return numbers


def find_mains(path: Path) -> Iterator[MainFunction]:
    """The functions called `main` on the top level of the files."""
    for file in python_files(path):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, FUNCTIONS) and node.name == "main":
                yield measure_main(file, node)


def measure_main(file: Path, function: ast.FunctionDef | ast.AsyncFunctionDef) -> MainFunction:
    """The size of a function."""
    # A call counts once, however often it occurs: `f(1); f(2)` is one thing to know.
    names = set()
    calls = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Call):
            calls.add(ast.unparse(node.func))
    lines = _end_line(function) - function.lineno + 1
    return MainFunction(file, lines, len(names), len(calls))


def density_gates(path: Path, density: Density) -> list[Gate]:
    """The gates of the density of a path."""
    long_lines = density.percent(density.long_lines)
    comments = density.percent(density.comments)
    conditionals = density.per_thousand(density.conditionals)
    comprehensions = density.per_thousand(density.comprehensions)
    return [
        Gate(f"{path}: lines over 100 characters, %", long_lines, MAX_LONG_LINES),
        Gate(f"{path}: own-line comments, %", comments, MIN_COMMENTS, is_minimum=True),
        Gate(f"{path}: conditionals per 1,000 code lines", conditionals, MAX_CONDITIONALS),
        Gate(f"{path}: comprehensions per 1,000 code lines", comprehensions, MAX_COMPREHENSIONS),
    ]


def main_gates(main_function: MainFunction) -> list[Gate]:
    """The gates of the size of a main."""
    name = f"{main_function.file}: main"
    return [
        Gate(f"{name}, lines", main_function.lines, MAX_MAIN_LINES),
        Gate(f"{name}, locals", main_function.local_names, MAX_MAIN_LOCALS),
    ]


def density_table(densities: dict[Path, Density]) -> str:
    """One line per path."""
    header = (
        f"{'':30}{'code':>7}{'chars':>7}{'> 100':>7}{'comm.':>7}{'docs':>7}"
        f"{'cond.':>7}{'compr.':>7}{'nested':>7}{'tuples':>7}{'walrus':>7}\n"
        f"{'':30}{'lines':>7}{'/line':>7}{'%':>7}{'%':>7}{'%':>7}{'per 1,000 code lines':>35}\n"
    )
    text = header
    for path, density in densities.items():
        shares = [density.long_lines, density.comments, density.docstrings]
        rates = [density.conditionals, density.comprehensions, density.nested]
        rates += [density.tuple_assignments, density.walruses]
        text += f"{path!s:30}{density.code_lines:7,}{density.characters_per_line():7.1f}"
        text += "".join(f"{density.percent(count):7.1f}" for count in shares)
        text += "".join(f"{density.per_thousand(count):7.1f}" for count in rates) + "\n"
    return text


def main_table(mains: list[MainFunction]) -> str:
    """One line per function called `main`."""
    text = f"{'main of':30}{'lines':>7}{'locals':>7}{'calls':>7}\n"
    for found in mains:
        text += f"{found.file!s:30}{found.lines:7}{found.local_names:7}{found.calls:7}\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.style",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    paths = parser.parse_args().paths or DEFAULT_PATHS
    for path in paths:
        if not path.exists():
            parser.error(f"there is no file or folder {path}")

    # Measure.
    densities = {path: measure_density(path) for path in paths}
    mains: list[MainFunction] = []
    for path in paths:
        mains += find_mains(path)

    # Compare with the gates.
    gates = []
    for path, density in densities.items():
        gates += density_gates(path, density)
    for found in mains:
        gates += main_gates(found)

    lines = "".join(f"{gate}\n" for gate in gates)
    sys.stdout.write(f"{density_table(densities)}\n{main_table(mains)}\n{lines}")
    if not all(gate.passed for gate in gates):
        sys.exit(1)


def _end_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


if __name__ == "__main__":
    main()
