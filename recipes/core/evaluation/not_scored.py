"""What an evaluation could not score, and why: the rest is scored all the same."""

from collections.abc import Iterator
from contextlib import contextmanager

from recipes.core.errors import UserError


class NotScored:
    """Models, sets of questions, or one model on one set, that are left out.

    Attributes:
        reasons: why, by the name of what is left out.
    """

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    @contextmanager
    def instead_of_error(self, name: str) -> Iterator[None]:
        """Leaves `name` out if the block raises `UserError`."""
        try:
            yield
        except UserError as error:
            self.reasons[name] = str(error)

    def raise_all(self) -> None:
        """Raises one `UserError` with every reason, for an evaluation that has scored nothing."""
        # Several models may lack the same thing, such as a readable dataset.
        reasons = dict.fromkeys(self.reasons.values())
        raise UserError("; ".join(reasons))

    def line(self, name: str) -> str:
        """That `name` is left out, and why."""
        return f"not scored: {name}: {self.reasons[name]}"

    def lines(self) -> list[str]:
        """A line for everything that is left out."""
        return [self.line(name) for name in self.reasons]
