"""Errors that end a stage with one readable line."""


class UserError(ValueError):
    """Something the user can mend: the message names the file and the key, and says what is allowed."""


class StopRequested(BaseException):
    """SIGTERM came: what is saved stays, the same command goes on. The message says what is saved."""
