"""Renders Markdown tables and the numbers in them."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every line ends with a line break."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def format_fraction(value: float | None) -> str:
    """`0.893`, or `-` for what is not known."""
    return "-" if value is None else f"{value:.3f}"


def format_interval(bounds: Sequence[float]) -> str:
    """`0.873 to 0.911`"""
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def format_parameters(count: int | None) -> str:
    """`0.454 M`, or `-` for what is not known."""
    return "-" if count is None else f"{count / 1e6:.3g} M"
