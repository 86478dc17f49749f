"""The launcher: what it would start, what it refuses, what it does with what it has started."""

import shlex
import socket

import psutil
import pytest

from recipes.core import machine, vllm_server
from tests.conftest import ROOT, run

GRPO, SFT = "recipes/arithmetic/grpo.yaml", "recipes/arithmetic/sft.yaml"
CONFIGS = sorted(path.stem for path in ROOT.glob("accelerate_configs/*.yaml"))


def test_the_golden_commands_of_every_accelerate_config_on_one_and_on_four_machines():
    golden = (ROOT / "tests/golden/launch.txt").read_text().splitlines()
    asked_for = set()
    for asked, printed in zip(golden[::2], golden[1::2], strict=True):
        words = shlex.split(asked)[1:]
        done = run("bash", "launch.sh", *words[:2], "--dry-run", *words[2:])
        assert (done.stdout.strip(), done.returncode) == (printed, 0), done.stderr
        asked_for.add((words[words.index("--accelerate") + 1], "--nodes" in words))
    several = {(name, True) for name in CONFIGS if name not in ("cpu", "single_gpu")}  # those two are one process
    assert asked_for == {(name, False) for name in CONFIGS} | several


def test_the_golden_batch_script_for_slurm(tmp_path):
    words = ("--slurm", "--nodes", 4, "--accelerate", "zero3", "--num-processes", 8, "--partition", "gpu", "--time", "24:00:00")
    done = run("bash", "launch.sh", "grpo", "recipes/gsm8k/grpo.yaml", *words, "--dry-run", "--dataset_name", "my data.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace(str(ROOT), "/repository") == (ROOT / "tests/golden/slurm.txt").read_text()
    (tmp_path / "job.sh").write_text(done.stdout)
    assert run("bash", "-n", tmp_path / "job.sh").returncode == 0


def test_no_accelerate_config_has_a_count_of_processes_or_what_the_recipe_says():
    for name in CONFIGS:
        text = (ROOT / f"accelerate_configs/{name}.yaml").read_text()
        assert [line.startswith("# ") for line in text.splitlines()[:3]] == [True, True, False]  # when to pick it
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
        (["grpo", GRPO, "--accelerate", "ddp", "--num-processes", "1"], "needs two processes or more"),
        (["grpo", GRPO, "--accelerate", "ddp"], "there is no GPU to count; write --num-processes N"),
        (
            ["grpo", GRPO, "--accelerate", "ddp", "--num-processes", "3", "--num_generations", "7"],
            "does not divide the batch",
        ),
        (["grpo", GRPO, *SEVERAL, "--num_generations", "96"], "x processes 4 x"),  # over all machines, not this one's
        (["grpo", GRPO, *SEVERAL], "write --nodes N --node-rank R --master HOST:PORT on each"),
        (["grpo", GRPO, *SEVERAL, "--node-rank", "2", "--master", "a:1"], "2 machines have the ranks 0 to 1"),
        (["grpo", GRPO, *SEVERAL, "--node-rank", "0", "--master", "a"], "write HOST:PORT"),
        (["grpo", GRPO, "--node-rank", "0"], "write --nodes, too"),
        (["grpo", GRPO, *SEVERAL, "--node-rank", "1", "--master", "no.such.host.invalid:29500"], "does not know the host"),
        (["grpo", GRPO, "--nodes", "two"], "argument --nodes: invalid int value: 'two'"),
        (["generate", "recipes/arithmetic/generate.yaml", "--vllm", "server"], "`generate` takes `--teacher vllm`"),
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
        done = run("bash", "launch.sh", "sft", SFT, *SEVERAL, "--node-rank", "0", "--master", f"127.0.0.1:{port}")
        assert done.returncode == 2 and "cannot listen there" in done.stderr
        for ports, key in (((port, 1), "vllm_server_port"), ((1, port), "vllm_group_port")):
            with pytest.raises(vllm_server.UserError, match=f"{key}: something listens on port {port}"):
                vllm_server.check_ports(vllm_server.Server([], {}, *ports, 1))


def test_the_network_that_leads_to_another_machine_is_named_and_the_loopback_is_not():
    assert machine.interface("127.0.0.1") == {}
    addresses = {a.address: name for name, many in psutil.net_if_addrs().items() for a in many if a.family == socket.AF_INET}
    for address, name in addresses.items():
        if not address.startswith("127."):
            assert machine.interface(address) == {"GLOO_SOCKET_IFNAME": name}
