"""Fixtures of the launcher's tests."""

import pytest

from tests.support.commands import ROOT


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """launch.sh changes to the repository's folder first; the launcher's functions rely on it."""
    monkeypatch.chdir(ROOT)
