"""What is measured, as Markdown tables."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every line ends with a line break."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def format_fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def format_interval(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def format_parameters(parameters: int | None) -> str:
    return "-" if parameters is None else f"{parameters / 1e6:.3g} M"
