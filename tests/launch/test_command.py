"""The launcher: what it would start, what it refuses, what it does with what it has started."""

import os
import shlex
import shutil
import socket

import psutil
import pytest

from recipes.core.errors import UserError
from recipes.core.launch.cli import build_parser
from recipes.core.launch.command import build_command
from recipes.core.launch.host import gloo_interface, visible_gpus
from recipes.core.launch.vllm_server import Server, check_ports
from tests.support.commands import ROOT, run

GRPO, SFT = "recipes/arithmetic/grpo.yaml", "recipes/arithmetic/sft.yaml"
CONFIGS = sorted(path.stem for path in ROOT.glob("accelerate_configs/*.yaml"))


def test_the_golden_commands_of_every_accelerate_config_on_one_and_on_four_machines():
    golden = (ROOT / "tests/golden/launch/commands.txt").read_text().splitlines()
    asked_for = set()
    for asked, printed in zip(golden[::2], golden[1::2], strict=True):
        words = shlex.split(asked)[1:]
        done = run("bash", "launch.sh", *words[:2], "--dry-run", *words[2:])
        assert (done.stdout.strip(), done.returncode) == (printed, 0), done.stderr
        asked_for.add((words[words.index("--accelerate") + 1], "--nodes" in words))
    several = {
        (name, True) for name in CONFIGS if name not in ("cpu", "single_gpu")
    }  # those two are one process
    assert asked_for == {(name, False) for name in CONFIGS} | several


def test_the_golden_batch_script_for_slurm(tmp_path):
    words = (
        "--slurm",
        "--nodes",
        4,
        "--accelerate",
        "zero3",
        "--num-processes",
        8,
        "--partition",
        "gpu",
        "--time",
        "24:00:00",
    )
    done = run(
        "bash",
        "launch.sh",
        "grpo",
        "recipes/gsm8k/grpo.yaml",
        *words,
        "--dry-run",
        "--dataset_name",
        "my data.jsonl",
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.replace(str(ROOT), "/repository")
        == (ROOT / "tests/golden/launch/job.sbatch").read_text()
    )
    (tmp_path / "job.sh").write_text(done.stdout)
    assert run("bash", "-n", tmp_path / "job.sh").returncode == 0


def test_a_job_asks_for_the_gpus_and_cores_of_its_processes():
    def asked(*words):
        done = run("bash", "launch.sh", "grpo", GRPO, "--slurm", "--dry-run", *words)
        return [
            line.partition("--")[2]
            for line in done.stdout.splitlines()
            if "-per-" in line and "ntasks" not in line
        ][:2]

    assert asked("--accelerate", "single_gpu") == ["gpus-per-node=1", "cpus-per-task=4"]
    assert asked("--accelerate", "zero2", "--num-processes", 2, "--vllm", "server") == [
        "gpus-per-node=3",
        "cpus-per-task=12",
    ]
    assert asked("--accelerate", "cpu_ddp", "--num-processes", 2)[0] == "cpus-per-task=2"


def test_no_accelerate_config_has_a_count_of_processes_or_what_the_recipe_says():
    for name in CONFIGS:
        text = (ROOT / f"accelerate_configs/{name}.yaml").read_text()
        assert [line.startswith("# ") for line in text.splitlines()[:3]] == [
            True,
            True,
            False,
        ]  # when to pick it
        for key in ("num_processes", "mixed_precision", "machine_rank"):
            assert key not in text
        if "DEEPSPEED" in text:
            assert "gradient_accumulation_steps: auto" in text and "gradient_clipping: auto" in text


SEVERAL = ["--accelerate", "ddp", "--num-processes", "2", "--nodes", "2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["grop", GRPO], "there are: evaluate generate grpo sft"),
        (["grpo", "recipes/arithmetik/grpo.yaml"], "there are: recipes/arithmetic/grpo.yaml"),
        (["grpo", GRPO, "--accelerate", "zero9"], f"there are: {' '.join(CONFIGS)}"),
        (["grpo", GRPO, "--num-processes", "many"], "write a number or auto"),
        (["grpo", GRPO, "--accelerate", "cpu", "--num-processes", "2"], "cpu is one process"),
        (
            ["grpo", GRPO, "--accelerate", "ddp", "--num-processes", "1"],
            "needs two processes or more",
        ),
        (
            ["grpo", GRPO, "--accelerate", "ddp"],
            "there is no GPU to count; write --num-processes N",
        ),
        (
            ["grpo", GRPO, "--accelerate", "ddp", "--num-processes", "3", "--num_generations", "7"],
            "does not divide the batch",
        ),
        (
            ["grpo", GRPO, *SEVERAL, "--num_generations", "96"],
            "x processes 4 x",
        ),  # over all machines, not this one's
        (["grpo", GRPO, *SEVERAL], "write --nodes N --node-rank R --master HOST:PORT on each"),
        (
            ["grpo", GRPO, *SEVERAL, "--node-rank", "2", "--master", "a:1"],
            "2 machines have the ranks 0 to 1",
        ),
        (["grpo", GRPO, *SEVERAL, "--node-rank", "0", "--master", "a"], "write HOST:PORT"),
        (["grpo", GRPO, "--node-rank", "0"], "write --nodes, too"),
        (
            ["grpo", GRPO, *SEVERAL, "--node-rank", "1", "--master", "no.such.host.invalid:29500"],
            "does not know the host",
        ),
        (["grpo", GRPO, "--accelerate", "single_gpu"], "there is no GPU to count"),
        (["grpo", GRPO, "--slurm", "--num-processes", "2"], "--slurm: write --accelerate, too"),
        (["grpo", GRPO, "--slurm", "--accelerate", "zero2"], "--slurm: write --num-processes, too"),
        (["grpo", GRPO, "--nodes", "two"], "argument --nodes: invalid int value: 'two'"),
        (
            ["generate", "recipes/arithmetic/generate.yaml", "--vllm", "server"],
            "`generate` takes `--teacher vllm`",
        ),
        (["grpo", GRPO, "--vllm", "fast"], "argument --vllm: invalid choice"),
    ],
)
def test_the_launcher_refuses_what_it_cannot_start(words, message):
    done = run("bash", "launch.sh", *words)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_refused_before_anything_is_started():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(
            "bash",
            "launch.sh",
            "sft",
            SFT,
            *SEVERAL,
            "--node-rank",
            "0",
            "--master",
            f"127.0.0.1:{port}",
        )
        assert done.returncode == 2 and "cannot listen there" in done.stderr
        for ports, key in (((port, 1), "vllm_server_port"), ((1, port), "vllm_group_port")):
            with pytest.raises(UserError, match=f"{key}: something listens on port {port}"):
                check_ports(Server([], {}, *ports, 1))


def test_gpus_that_torch_cannot_use_and_a_missing_compiler_are_said_before_anything_is_started(
    monkeypatch,
):
    import torch

    monkeypatch.setattr(os.path, "exists", lambda path: path == "/dev/dxg")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"has 2 GPUs that torch .* cannot use"):
        visible_gpus()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5,GPU-7")
    assert visible_gpus() == ["GPU-5", "GPU-7"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(UserError, match="there is no C compiler"):
        build_command("grpo", GRPO, build_parser().parse_args(["--accelerate", "single_gpu"]), [])
    options = build_parser().parse_args(
        []
    )  # one process, and the GPUs that the model is split over
    split = build_command(
        "generate", "recipes/gsm8k/generate.yaml", options, ["--vllm_tensor_parallel_size", "2"]
    )
    assert split.environment == {"CUDA_VISIBLE_DEVICES": "GPU-5,GPU-7"}
    assert build_command("generate", "recipes/gsm8k/generate.yaml", options, []).environment == {
        "CUDA_VISIBLE_DEVICES": "GPU-5"
    }


def test_the_network_that_leads_to_another_machine_is_named_and_the_loopback_is_not():
    assert (
        gloo_interface("127.0.0.1", "127.0.0.1") == gloo_interface("localhost", "127.0.0.1") == {}
    )
    assert gloo_interface("node0", "127.0.1.1") == gloo_interface(
        "192.0.2.1", "192.0.2.1"
    )  # rank 0's own name on Debian
    addresses = {
        a.address: name
        for name, many in psutil.net_if_addrs().items()
        for a in many
        if a.family == socket.AF_INET
    }
    for address, name in addresses.items():
        if not address.startswith("127."):
            assert gloo_interface(address, address) == {"GLOO_SOCKET_IFNAME": name}
