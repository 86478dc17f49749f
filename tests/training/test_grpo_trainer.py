"""The table of private names in grpo_trainer.py is what the installed libraries have."""

import inspect

import pytest
import transformers
import trl

from recipes.core.training import grpo_trainer

SOURCES = {
    "TRL": inspect.getsource(trl.GRPOTrainer),
    "transformers": inspect.getsource(transformers.Trainer),
}


def table():
    """Name and library of each row."""
    lines = grpo_trainer.__doc__.splitlines()
    rows = [line.split() for line in lines if line.startswith("    _")]
    return [(row[0], row[1]) for row in rows]


def test_the_table_is_not_empty():
    assert len(table()) == 14


@pytest.mark.parametrize(("name", "library"), table())
def test_the_library_has_the_private_name(name, library):
    is_method = f"def {name}(" in SOURCES[library]
    is_attribute = f"self.{name} = " in SOURCES[library]
    assert is_method or is_attribute
