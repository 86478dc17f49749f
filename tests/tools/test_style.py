"""benchmarks.style counts what it says it counts."""

from benchmarks.style import Density, find_mains, find_misses

SNIPPET = '''"""A module."""

# A comment on a line of its own.
def f(x):  # not one of its own
    """Two lines,
    of a docstring."""
    a, b = 1, 2
    return [y for y in x] if a else [z for w in x for z in w]
'''


def test_every_count_is_that_of_the_snippet():
    density = Density()
    density.add(SNIPPET)
    assert density.lines == 8
    assert density.comments == 1
    assert density.docstrings == 3
    assert density.code_lines == 3
    assert density.conditionals == 1
    assert density.comprehensions == 2
    assert density.nested_comprehensions == 1
    assert density.tuple_assignments == 1
    assert density.walruses == 0


def test_a_gate_that_is_missed_is_named():
    density = Density()
    density.add("x = 1  # " + "x" * 100 + "\n")
    misses = find_misses("package", density)
    assert any("over 100 characters" in miss for miss in misses)
    assert any("lines that are a comment" in miss for miss in misses)


def test_mains_are_measured(tmp_path):
    file = tmp_path / "stage.py"
    file.write_text("def main():\n    a = f(1)\n    b = g(a)\n    f(b)\n")
    (found,) = find_mains(file)
    assert (found.lines, found.local_names, found.calls) == (4, 2, 2)
