"""Counts the processes of a launch, and tells accelerate where they meet."""

import os

from recipes.core.errors import UserError
from recipes.core.launch.accelerate_configs import get_spec
from recipes.core.launch.request import LaunchRequest
from recipes.core.runtime.device import has_accelerator


def count_processes(requested: str, accelerate: str, gpus: int) -> int:
    """The number of processes on this machine: `requested`, or for "auto" what fits it."""
    if requested == "auto":
        return _count_automatically(accelerate, gpus)
    if not requested.isdigit() or int(requested) < 1:
        raise UserError(f"--num-processes is {requested!r}; write a number or auto")
    if gpus and int(requested) > gpus and get_spec(accelerate).device == "gpu":
        raise UserError(f"--num-processes is {requested}, but there are only {gpus} GPUs")
    return int(requested)


def _count_automatically(accelerate: str, gpus: int) -> int:
    spec = get_spec(accelerate)
    # On the CPU every core can run a process.
    if spec.device == "cpu":
        return 1 if spec.processes == "one" else os.cpu_count() or 1
    # has_accelerator also knows accelerators other than CUDA's, such as Apple's.
    if spec.processes == "one" and (gpus or has_accelerator()):
        return 1
    # Otherwise one process per GPU.
    if not gpus:
        raise UserError(
            f"--accelerate {accelerate}: there is no GPU to count; "
            "write --num-processes N to run it on the CPU"
        )
    return gpus


def check_total_processes(accelerate: str, total: int) -> None:
    """Raises `UserError` if the accelerate config cannot run this number of processes."""
    spec = get_spec(accelerate)
    if spec.processes == "one" and total > 1:
        raise UserError(
            f"--accelerate {accelerate} runs one process; for {total} "
            "use cpu_ddp on a CPU, or ddp, zero2, zero3 or fsdp2 elsewhere"
        )
    if spec.processes == "many" and total < 2:
        raise UserError(
            f"--accelerate {accelerate} needs at least two processes; "
            "write --num-processes 2, or --accelerate cpu"
        )


def rendezvous_options(request: LaunchRequest, total: int) -> list[str]:
    """accelerate's options for this machine's rank and for where the processes meet."""
    # One machine: nothing to tell but a port.
    if request.nodes == 1:
        if request.node_rank is not None or request.master is not None:
            raise UserError("--node-rank and --master are for several machines; add --nodes")
        # Port 0: any free port, so that several runs on one machine do not collide.
        return ["--main_process_port", "0"] if total > 1 else []

    # Several machines: each needs its own rank and the address of rank 0.
    if request.nodes < 1 or request.node_rank is None or request.master is None:
        raise UserError(
            "several machines: write --nodes N --node-rank R --master HOST:PORT on each, or --slurm"
        )
    if not 0 <= request.node_rank < request.nodes:
        raise UserError(
            f"--node-rank is {request.node_rank}; "
            f"{request.nodes} machines have the ranks 0 to {request.nodes - 1}"
        )
    # From the right: an IPv6 address contains colons, too.
    host, _, port = request.master.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(
            f"--master is {request.master!r}; "
            "write HOST:PORT, the machine of rank 0 and a free port on it"
        )
    machine = ["--num_machines", str(request.nodes), "--machine_rank", str(request.node_rank)]
    return [*machine, "--main_process_ip", host, "--main_process_port", port]
