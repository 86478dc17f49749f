"""What each file of accelerate_configs/ needs: how many processes, on which device."""

from dataclasses import dataclass, field
from typing import Literal

from recipes.core.errors import UserError
from recipes.core.paths import ROOT


@dataclass(frozen=True)
class Spec:
    """Requirements of one accelerate config.

    Attributes:
        processes: how many processes, over all machines, it can run: "one", "many" (at least
            two), or "any".
        device: what each process runs on.
        environment: variables that accelerate needs beside the file.
    """

    processes: Literal["one", "many", "any"]
    device: Literal["cpu", "gpu"]
    environment: dict[str, str] = field(default_factory=dict)


ACCELERATE = {
    "cpu": Spec(processes="one", device="cpu"),
    # Its type is MULTI_GPU, with which accelerate starts several processes; the variable keeps
    # them on the CPU.
    "cpu_ddp": Spec(processes="many", device="cpu", environment={"ACCELERATE_USE_CPU": "true"}),
    "single_gpu": Spec(processes="one", device="gpu"),
    "ddp": Spec(processes="many", device="gpu"),
    "fsdp2": Spec(processes="many", device="gpu"),
    "zero1": Spec(processes="any", device="gpu"),
    "zero2": Spec(processes="any", device="gpu"),
    "zero3": Spec(processes="any", device="gpu"),
    "zero3_offload": Spec(processes="any", device="gpu"),
}

_USER_CONFIG = Spec(processes="any", device="gpu")  # a file that the user has added


def check_accelerate_config(name: str) -> None:
    """Raises `UserError` if accelerate_configs/ has no such file."""
    names = sorted(path.stem for path in (ROOT / "accelerate_configs").glob("*.yaml"))
    if name not in names:
        raise UserError(f"unknown accelerate config {name!r}; there are: {' '.join(names)}")


def get_spec(name: str) -> Spec:
    """The requirements of an accelerate config."""
    return ACCELERATE.get(name, _USER_CONFIG)
