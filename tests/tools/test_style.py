"""benchmarks.style counts as its docstring defines, and fails at each of its gates."""

import sys
from pathlib import Path

import pytest

from benchmarks import style
from benchmarks.style import Density, Gate, density_gates, find_mains, main_gates

SNIPPET = '''"""A module."""

# An own-line comment.
def f(x):  # an inline comment
    """Two lines,

    and a blank one between them."""
    text = """
# part of a string, and no comment
"""
    a, b = 1, 2
    first, *rest = x
    if (n := len(rest)) > 1:
        return [y for y in x] if a else [z for w in x for z in w]
    return {y: sum(z for z in y) for y in x}
'''


def density_of(source):
    density = Density()
    density.add(source)
    return density


def test_every_count_of_the_snippet_is_the_one_made_by_hand():
    density = density_of(SNIPPET)
    assert density.lines == 15
    assert density.non_blank == 13
    assert density.comments == 1
    assert density.docstrings == 4  # the module's line, and three of the function
    assert density.code_lines == 9
    assert density.conditionals == 1
    assert density.comprehensions == 4
    assert density.nested == 2  # two `for`, and one that contains another
    assert density.tuple_assignments == 1  # unpacking one value is not one
    assert density.walruses == 1


def test_characters_are_counted_without_indentation_and_long_lines_with_it():
    density = density_of("if x:\n    " + "y" * 97 + "\n\n")
    assert density.characters_per_line() == (5 + 97) / 2
    assert density.long_lines == 1
    assert density_of("y" * 100).long_lines == 0


def test_counts_add_up_over_files():
    density = density_of(SNIPPET)
    density.add(SNIPPET)
    assert (density.code_lines, density.comprehensions) == (18, 8)


LINE = "x = 1\n"
COMMENT = "# why\n"


@pytest.mark.parametrize(
    ("source", "failing"),
    [
        (LINE * 95 + COMMENT * 5, []),
        (LINE * 96 + COMMENT * 4, ["own-line comments"]),
        (LINE * 94 + COMMENT * 6 + f"x = '{'y' * 100}'\n", []),  # 1 of 101 lines
        (LINE * 90 + COMMENT * 6 + f"x = '{'y' * 100}'\n", ["lines over 100"]),  # 1 of 97
        (LINE * 49 + "x = 1 if y else 2\n" + COMMENT * 5, []),  # 20 in 1,000
        (LINE * 48 + "x = 1 if y else 2\n" + COMMENT * 5, ["conditionals"]),
        (LINE * 28 + "x = [y for y in z]\n" + COMMENT * 5, []),  # 34.5 in 1,000
        (LINE * 27 + "x = [y for y in z]\n" + COMMENT * 5, ["comprehensions"]),
    ],
)
def test_the_density_fails_at_its_gates_and_not_before(source, failing):
    gates = density_gates(Path("a"), density_of(source))
    found = [str(gate) for gate in gates if not gate.passed]
    assert len(found) == len(failing)
    for text, name in zip(found, failing, strict=True):
        assert text.startswith(f"FAIL  a: {name}")


def test_a_main_is_measured_by_its_lines_the_names_it_binds_and_its_different_calls(tmp_path):
    file = tmp_path / "stage.py"
    file.write_text("def main():\n    a = f(1)\n\n    for b in a:\n        f(b)\n    x.g(a)\n")
    (tmp_path / "other.py").write_text("def helper():\n    def main(): ...\n")
    (found,) = find_mains(tmp_path)
    assert found.file == file
    assert (found.lines, found.local_names, found.calls) == (6, 2, 2)
    assert all(gate.passed for gate in main_gates(found))


def test_a_main_that_is_too_long_fails(tmp_path):
    file = tmp_path / "stage.py"
    file.write_text("def main():\n" + "".join(f"    x{n % 16} = 1\n" for n in range(60)))
    (found,) = find_mains(file)
    assert [str(gate) for gate in main_gates(found)] == [
        f"FAIL  {file}: main, lines: 61 (at most 60)",
        f"FAIL  {file}: main, locals: 16 (at most 15)",
    ]


def test_a_minimum_is_a_limit_from_below():
    assert Gate("comments", 5.0, 5.0, is_minimum=True).passed
    assert not Gate("comments", 4.9, 5.0, is_minimum=True).passed


def test_the_command_prints_every_gate_and_exits_with_1_if_one_fails(tmp_path, monkeypatch, capsys):
    good = tmp_path / "good.py"
    good.write_text("# A constant.\nx = 1\n")
    monkeypatch.setattr(sys, "argv", ["style", str(good)])
    style.main()
    printed = capsys.readouterr().out
    assert printed.count("ok  ") == 4
    assert "FAIL" not in printed

    bad = tmp_path / "bad.py"
    bad.write_text("x = 1\n")
    monkeypatch.setattr(sys, "argv", ["style", str(good), str(bad)])
    with pytest.raises(SystemExit, match="1"):
        style.main()
    assert f"FAIL  {bad}: own-line comments, %: 0 (at least 5)" in capsys.readouterr().out


def test_a_path_that_does_not_exist_is_an_error_and_not_an_empty_folder(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["style", "nowhere"])
    with pytest.raises(SystemExit, match="2"):
        style.main()
    assert "there is no file or folder nowhere" in capsys.readouterr().err
