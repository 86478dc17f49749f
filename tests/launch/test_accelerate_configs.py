"""accelerate_configs/ and the launcher's table of them."""

import pytest

from recipes.core.launch.accelerate_configs import ACCELERATE
from tests.support.commands import ROOT

FILES = sorted(ROOT.glob("accelerate_configs/*.yaml"))


def test_the_table_has_every_file():
    assert sorted(ACCELERATE) == [file.stem for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_opens_with_its_purpose_and_leaves_the_recipes_keys_alone(file):
    text = file.read_text()
    assert all(line.startswith("# ") for line in text.splitlines()[:2])  # when to pick it
    for key in ("num_processes", "mixed_precision", "machine_rank"):
        assert key not in text
    if "DEEPSPEED" in text:
        assert "gradient_accumulation_steps: auto" in text
        assert "gradient_clipping: auto" in text
