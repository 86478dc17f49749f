"""Fixtures of the launcher's tests."""

import pytest

from tests.support.commands import ROOT


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where short paths name the repository's files; test_elsewhere.py is about other folders."""
    monkeypatch.chdir(ROOT)
