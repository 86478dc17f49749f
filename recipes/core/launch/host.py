"""What the launcher asks of the machine that it runs on: its GPUs, and the way to the machine of rank 0."""

import ipaddress
import os
import shutil
import socket
import sys

import psutil

from recipes.core.errors import UserError

SINGLE_PROCESS_CONFIGS = ("cpu", "single_gpu")  # accelerate configs of one process
CPU_CONFIGS = ("cpu", "cpu_ddp")


def visible_gpus() -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them. Raises `UserError` if torch cannot use them."""
    if not any(
        map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg"))
    ):  # no driver: torch, which takes seconds, need not be asked
        return []
    import torch

    names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    if torch.version.cuda is None and torch.version.hip is None:
        sys.stderr.write(
            f"launch.sh: torch {torch.__version__} is built without CUDA: the GPUs of this machine are not used\n"
        )
    if count and not torch.cuda.is_available():  # the stages would train on the CPU
        raise UserError(
            f"this machine has {count} GPUs that torch {torch.__version__} cannot use, most often because their driver is older; "
            "update it, or install another torch (pytorch.org). On the CPU: CUDA_VISIBLE_DEVICES= ./launch.sh ..."
        )
    return names[:count] if names else [str(index) for index in range(count)]


def check_compiler() -> None:
    """Raises `UserError` without a C compiler: Triton, in which TRL computes probabilities on a GPU, compiles at the first step."""
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        raise UserError(
            "there is no C compiler, which Triton needs on a GPU; install gcc and Python's headers, or set CC"
        )


def check_master(master: str, rank: int) -> tuple[str, str]:
    """The machine of rank 0, as it was named, and its address. Raises `UserError` if the port is taken there, or another machine
    does not know its name."""
    host, _, port = master.rpartition(":")
    try:
        address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UserError(
            f"--master: this machine does not know the host {host!r} ({error.strerror})"
        ) from error
    if rank:
        return host, str(address[4][0])
    with socket.socket(address[0], socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address[4])
        except OSError as error:
            raise UserError(
                f"--master {master}: cannot listen there ({error.strerror}); write a port that is free"
            ) from error
    return host, str(address[4][0])


def gloo_interface(host: str, address: str) -> dict[str, str]:
    """gloo's variable for the network that leads to the machine of rank 0: by itself it takes the one of the machine's own name,
    which is often the loopback."""
    own = _own_address(address)
    if (
        _is_loopback(own) and host != "localhost" and not _is_loopback(host)
    ):  # rank 0 itself, which Debian calls 127.0.1.1
        own = _own_address("192.0.2.1")  # nobody's (RFC 5737): the way to other networks
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == own for one in addresses) and not _is_loopback(own):
            return {"GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", name)}
    return {}


def _own_address(target: str) -> str:
    """This machine's address on the way to another one; "" if there is no way."""
    with socket.socket(
        socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM
    ) as probe:
        try:
            probe.connect((target, 9))  # nothing is sent
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
