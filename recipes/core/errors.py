"""Exceptions that end a stage with one readable line instead of a traceback."""


def one_line(error: object, limit: int | None = None) -> str:
    """The text of an error without line breaks, at most `limit` characters of it."""
    return " ".join(str(error).split())[:limit]


class UserError(ValueError):
    """A mistake the user can fix: the message names the file and the key, and what to write."""


class StopRequested(BaseException):
    """SIGTERM arrived; the same command resumes the run. The message says what has been saved.

    Not an `Exception`, so that no handler of errors in between takes it for a failure.
    """
