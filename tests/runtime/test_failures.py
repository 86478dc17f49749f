"""What the user can mend is one line, whoever noticed it; a bug keeps its traceback."""

import errno
import os
from pathlib import Path

import pytest

from recipes.core.runtime.entrypoint import describe_failure
from recipes.core.runtime.failures import describe_mendable
from recipes.core.runtime.stopping import USER_ERROR


def error_of(function, *args, **kwargs):
    """The exception that a call raises, with its traceback."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def tracker(name):
    from transformers.integrations.integration_utils import get_reporting_integration_callbacks

    for callback in get_reporting_integration_callbacks([name]):
        callback()


def liger():
    import torch
    from transformers.integrations.liger import apply_liger_kernel

    apply_liger_kernel(torch.nn.Linear(1, 1), None)


def wandb_without_an_account():
    from wandb.errors import UsageError

    raise UsageError("No API key configured.\nUse `wandb login` to log in.")


def trl_refuses():
    from trl import GRPOConfig

    GRPOConfig(num_generations=3, per_device_train_batch_size=8, use_cpu=True, bf16=False)


def make_folder_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "file/below").mkdir(parents=True)


def full_name(kind):
    raise OSError(kind, os.strerror(kind), "/some/folder")


MENDABLE = {
    "no tensorboard": (tracker, ("tensorboard",), "requires tensorboard to be installed"),
    "no trackio": (tracker, ("trackio",), "Run `pip install trackio`"),
    "no liger": (liger, (), "pip install liger-kernel"),
    "no account": (wandb_without_an_account, (), "wandb: No API key .*; run `wandb login`, set"),
    "keys that TRL refuses": (trl_refuses, (), r"num_generations.*\(ValueError in trl/trainer/"),
    "no permission": (full_name, (errno.EACCES,), "/some/folder: cannot be used"),
    "a disk to read": (full_name, (errno.EROFS,), "Read-only file system"),
    "no such device": (Path("/proc/x").mkdir, (), "/proc/x: cannot be used"),
}
PACKAGES = {"no tensorboard": "tensorboard", "no trackio": "trackio", "no liger": "liger_kernel"}


@pytest.mark.parametrize("name", MENDABLE)
def test_what_the_user_can_mend_is_one_line(name):
    import importlib.util
    import re

    if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]):
        pytest.skip(f"{PACKAGES[name]} is installed")
    function, args, message = MENDABLE[name]
    end = describe_failure(error_of(function, *args), watchdog=None)
    assert end.code == USER_ERROR
    assert re.search(message, end.line) and "\n" not in end.line
    assert end.line.startswith("error: ")


def test_a_folder_below_a_file_names_the_path(tmp_path):
    error = error_of(make_folder_below_a_file, tmp_path)
    assert f"{tmp_path}/file" in describe_mendable(error)


def own_value_error():
    raise ValueError("a bug")


def missing_file():
    Path("/no/such/file").read_text()


@pytest.mark.parametrize("function", [own_value_error, missing_file, lambda: {}["key"]])
def test_a_bug_keeps_its_traceback(function):
    assert describe_failure(error_of(function), watchdog=None) is None
