"""Inspects this machine: its GPUs, its compiler, and its network route to the machine of rank 0."""

import ipaddress
import os
import shutil
import socket
import sys

import psutil

from recipes.core.errors import UserError

# Files that exist where a GPU driver is loaded; the second one is Windows' subsystem for Linux.
_DRIVER_FILES = ("/dev/nvidiactl", "/dev/dxg")
# Reserved for documentation (RFC 5737): no machine has it, so it is routed like the internet.
_EXTERNAL_ADDRESS = "192.0.2.1"


def visible_gpus() -> list[str]:
    """The GPUs of this machine, as CUDA_VISIBLE_DEVICES names them.

    Raises `UserError` if torch cannot use them.
    """
    # Without a driver there is no need to import torch, which takes seconds.
    if not any(os.path.exists(file) for file in _DRIVER_FILES):
        return []
    import torch

    count = torch.cuda.device_count()
    if torch.version.cuda is None and torch.version.hip is None:
        sys.stderr.write(
            f"launch.sh: torch {torch.__version__} is built without CUDA: "
            "the GPUs of this machine are not used\n"
        )
    # The stages would silently train on the CPU.
    if count and not torch.cuda.is_available():
        raise UserError(
            f"this machine has {count} GPUs that torch {torch.__version__} cannot use, "
            "most often because their driver is too old; update the driver or install another "
            "torch (pytorch.org). To use the CPU: CUDA_VISIBLE_DEVICES= ./launch.sh ..."
        )
    # Keep the user's selection and order of GPUs, and their names (an index or a UUID).
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = [name for name in names if name]
    return names[:count] if names else [str(index) for index in range(count)]


def cpu_cores() -> int:
    """Physical cores of this machine."""
    return psutil.cpu_count(logical=False) or 1


def check_compiler() -> None:
    """Raises `UserError` without a C compiler.

    TRL computes log-probabilities on a GPU with Triton, which compiles its kernels in the first
    step.
    """
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        raise UserError(
            "there is no C compiler, which Triton needs on a GPU; "
            "install gcc and Python's headers, or set CC"
        )


def check_master(master: str, rank: int) -> tuple[str, str]:
    """The host name in `--master` and the address it resolves to.

    Raises `UserError` if the name does not resolve or, on the machine of rank 0, if the port is
    already in use.
    """
    # The name may be known to one machine and not to another.
    host, _, port = master.rpartition(":")
    try:
        resolved = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise UserError(
            f"--master: this machine cannot resolve the host {host!r} ({error.strerror})"
        ) from error
    family, _, _, _, address = resolved[0]

    # Only rank 0 listens there.
    if rank == 0:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise UserError(
                    f"--master {master}: cannot listen there ({error.strerror}); choose a free port"
                ) from error
    return host, str(address[0])


def gloo_interface(host: str, address: str) -> dict[str, str]:
    """The environment variable that makes gloo use the network leading to the machine of rank 0.

    By default gloo takes the interface of this machine's own host name, often the loopback.
    """
    own_address = _source_address(address)
    # Debian resolves a machine's own name to 127.0.1.1: rank 0 itself needs an external interface.
    is_local = host == "localhost" or _is_loopback(host)
    if _is_loopback(own_address) and not is_local:
        own_address = _source_address(_EXTERNAL_ADDRESS)
    if _is_loopback(own_address):
        return {}

    # The interface that has this address; a user's own setting wins.
    for name, addresses in psutil.net_if_addrs().items():
        if own_address in [entry.address for entry in addresses]:
            return {"GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", name)}
    return {}


def _source_address(target: str) -> str:
    """This machine's address on the route to `target`; "" without a route."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))  # UDP: nothing is sent
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
