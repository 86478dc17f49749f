"""The launcher's exit code and the line that explains it."""

import signal

import pytest

from recipes.core.launch.outcome import ExitReason, determine_outcome
from recipes.core.runtime.stopping import LOST, STOPPED


def exited(**codes):
    """Exit reasons by rank: `exited(r0=1)` is rank 0 with exit code 1."""
    return {int(rank[1:]): ExitReason(code, "because") for rank, code in codes.items()}


@pytest.mark.parametrize(
    ("command_code", "received", "reasons", "expected"),
    [
        (0, [], {}, 0),
        (0, [], exited(r0=0), 0),
        (0, [signal.SIGTERM], exited(r0=STOPPED, r1=STOPPED), STOPPED),  # torch's agent exits 0
        (1, [], exited(r0=STOPPED, r1=STOPPED), STOPPED),  # only the processes got SIGTERM
        (1, [], exited(r0=STOPPED), LOST),  # one was killed; the agent then stopped the other
        (1, [signal.SIGTERM], exited(r0=1, r1=LOST), STOPPED),  # failed because others had left
        (1, [], exited(r0=LOST, r1=2), 2),  # the cause, not its consequence
        (1, [], exited(r0=LOST, r1=1), LOST),
        (1, [signal.SIGINT], {}, 130),
        (-15, [signal.SIGTERM], {}, STOPPED),  # before the stage had begun
        (None, [signal.SIGTERM], {}, STOPPED),  # while the server was starting
        (1, [], {}, LOST),
    ],
)
def test_the_exit_code_names_the_cause(command_code, received, reasons, expected):
    assert determine_outcome(command_code, received, reasons, processes=2).code == expected


def test_the_line_names_the_rank_that_failed_and_counts_those_that_did_not_report():
    message = determine_outcome(1, [], exited(r1=2), processes=2).message
    assert message == "rank 1 exited with code 2: because"
    message = determine_outcome(1, [], exited(r0=STOPPED), processes=3).message
    assert "without reporting a reason (2 of 3 here)" in message


def test_a_single_process_has_printed_its_own_reason_and_dies_with_exit_code_1():
    assert determine_outcome(1, [], exited(r0=2), processes=1) == (2, "")
    outcome = determine_outcome(-9, [], {}, processes=1)
    assert outcome.code == 1
    assert "without reporting a reason: killed from outside" in outcome.message
