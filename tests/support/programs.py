"""Helpers of the tests of the code reward and its sandbox."""

import pytest

from rewards.isolation.sandbox import protections

# Where the protections are missing, these tests cannot run: the programs in them are attacks.
needs_sandbox = pytest.mark.skipif(
    protections().launcher == "none",
    reason=f"no sandbox: {', '.join(protections().missing)}; {protections().reason}",
)


def answered_program(program):
    """A well-formed completion that answers with a program."""
    return f"<think>a</think><answer>\n```python\n{program}\n```\n</answer>"
