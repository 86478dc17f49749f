"""The launcher's look at this machine: its GPUs, its ports and its networks."""

import os
import socket

import psutil
import pytest

from recipes.core.errors import UserError
from recipes.core.launch.host import check_master, gloo_interface, visible_gpus


def test_gpus_that_torch_cannot_use_are_refused_and_the_others_keep_their_names(monkeypatch):
    import torch

    monkeypatch.setattr(os.path, "exists", lambda path: path == "/dev/dxg")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"has 2 GPUs that torch .* cannot use"):
        visible_gpus()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5,GPU-7")
    assert visible_gpus() == ["GPU-5", "GPU-7"]


def test_rank_0_refuses_a_port_that_is_in_use_and_other_ranks_do_not_look():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        master = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot listen there"):
            check_master(master, rank=0)
        assert check_master(master, rank=1) == ("127.0.0.1", "127.0.0.1")


def test_gloo_gets_the_network_that_leads_to_another_machine_and_never_the_loopback():
    assert gloo_interface("127.0.0.1", "127.0.0.1") == {}
    assert gloo_interface("localhost", "127.0.0.1") == {}
    # Debian resolves rank 0's own name to 127.0.1.1: the interface to the outside counts.
    assert gloo_interface("node0", "127.0.1.1") == gloo_interface("192.0.2.1", "192.0.2.1")
    for name, addresses in psutil.net_if_addrs().items():
        for entry in addresses:
            if entry.family == socket.AF_INET and not entry.address.startswith("127."):
                expected = {"GLOO_SOCKET_IFNAME": name}
                assert gloo_interface(entry.address, entry.address) == expected
