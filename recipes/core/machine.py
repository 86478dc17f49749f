"""What the launcher asks of the machine that it runs on: its GPUs, and the way to the machine of rank 0."""

import os
import socket
from pathlib import Path

import psutil

from recipes.core.keys import UserError


def visible_gpus() -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them."""
    if not Path("/dev/nvidiactl").exists():  # without a driver there is no need to ask torch, which takes seconds
        return []
    import torch

    names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    return names[:count] if names else [str(index) for index in range(count)]


def check_master(master: str, rank: int) -> str:
    """The address of the machine of rank 0. Raises `UserError` if the port is taken there, or another machine does not know its
    name."""
    host, _, port = master.rpartition(":")
    try:
        address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UserError(f"--master: this machine does not know the host {host!r} ({error.strerror})") from error
    if rank:
        return str(address[4][0])
    with socket.socket(address[0], socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address[4])
        except OSError as error:
            raise UserError(f"--master {master}: cannot listen there ({error.strerror}); write a port that is free") from error
    return str(address[4][0])


def interface(master: str) -> dict[str, str]:
    """gloo's variable for the network that leads to the machine of rank 0: by itself it takes the one of the machine's own name,
    which is often the loopback."""
    family = socket.AF_INET6 if ":" in master else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((master, 9))  # nothing is sent
        own = probe.getsockname()[0]
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == own for address in addresses) and not own.startswith("127."):
            return {"GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", name)}
    return {}
