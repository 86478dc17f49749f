"""`./launch.sh STAGE CONFIG --slurm`: renders a batch script and submits it.

The script is the template job.sbatch, which starts one launcher per node. With several nodes each
launcher runs inside node.sh.
"""

import os
import shlex
import shutil
import string
import subprocess
import sys
from pathlib import Path

from recipes.core.config.config import read_config
from recipes.core.config.yaml_files import recipe_name
from recipes.core.errors import UserError
from recipes.core.launch.accelerate_configs import check_accelerate_config, get_spec
from recipes.core.launch.request import LaunchRequest
from recipes.core.paths import ROOT, launcher, path_from_here
from recipes.core.preflight.batch import BatchArguments, check_batch
from recipes.core.runtime.stopping import STOPPED
from recipes.core.runtime.watchdog import SILENCE_LIMIT

# Slurm sends SIGTERM this long before the time limit: enough to finish a step and save.
WARNING_SECONDS = 300
CPUS_PER_GPU = 4  # for the training process and the workers that score its completions


class ShellTemplate(string.Template):
    """A shell script with placeholders `~{name}`, which leave `$` to the shell."""

    delimiter = "~"


def submit_job(request: LaunchRequest) -> int:
    """Prints the batch script and, without --dry-run, writes and submits it.

    Raises `UserError` if the run could not start, or if Slurm is missing or refuses the job.
    """
    # What is checked for a run on this machine is checked for a job, too.
    config = read_config(request.stage, argv=["--config", request.config, *request.keys])
    output_dir = config.run_dir.absolute()
    processes = processes_per_node(request)
    if request.stage == "grpo":
        check_batch(config.parse(BatchArguments), processes * request.nodes)

    script = render_job(request, output_dir)
    sys.stdout.write(script)
    if request.dry_run:
        return 0
    if shutil.which("sbatch") is None:
        raise UserError("--slurm: there is no `sbatch` on this machine")

    # A job may wait in the queue for hours, so the stage checks its configuration now.
    check_stage(request)

    # The script is kept in the run's folder.
    output_dir.mkdir(parents=True, exist_ok=True)
    file = output_dir / f"{request.stage}.sbatch"
    file.write_text(script, encoding="utf-8")
    submitted = subprocess.run(["sbatch", str(file)], capture_output=True, text=True)
    if submitted.returncode:
        raise UserError(f"sbatch {file}: {' '.join(submitted.stderr.split())}")
    sys.stdout.write(submitted.stdout)
    return 0


def check_stage(request: LaunchRequest) -> None:
    """Runs the stage's own checks. Raises `UserError` with its message if one fails."""
    script = path_from_here(ROOT / f"recipes/{request.stage}.py")
    command = [sys.executable, script, "--config", request.config, *request.keys, "--print-config"]
    checked = subprocess.run(command, capture_output=True, text=True)
    if checked.returncode:
        raise UserError(checked.stderr.strip().removeprefix("error: "))


def render_job(request: LaunchRequest, output_dir: Path) -> str:
    """The batch script of a run."""
    return _render(
        "job.sbatch",
        job_name=shlex.quote(f"{recipe_name(request.config)}-{request.stage}"),
        nodes=request.nodes,
        resources="\n".join(f"#SBATCH {option}" for option in _resource_options(request)),
        warning_seconds=WARNING_SECONDS,
        log=shlex.quote(f"{output_dir}/slurm-%j.txt"),
        stopped=STOPPED,
        folder=shlex.quote(os.getcwd()),
        node_script=shlex.quote(_render_node_script(request)),
    )


def require_accelerate(request: LaunchRequest) -> str:
    """The value of --accelerate; raises `UserError` without it, or if there is no such file."""
    if request.accelerate is None:
        raise UserError("--slurm: add --accelerate: a job has only the GPUs that it requests")
    check_accelerate_config(request.accelerate)
    return request.accelerate


def processes_per_node(request: LaunchRequest) -> int:
    """The number of processes on each node.

    Raises `UserError` if it depends on the node: a job requests its GPUs before it has one.
    """
    accelerate = require_accelerate(request)
    if request.num_processes.isdigit():
        return int(request.num_processes)
    if get_spec(accelerate).processes == "one":
        return 1
    raise UserError(
        "--slurm: add --num-processes, the number of processes on each node with "
        f"--accelerate {accelerate}"
    )


def _resource_options(request: LaunchRequest) -> list[str]:
    """sbatch's options for the partition, the time limit, the GPUs and the cores."""
    # Given by the user.
    options = []
    if request.partition:
        options.append(f"--partition={request.partition}")
    if request.time:
        options.append(f"--time={request.time}")

    # One core per process on the CPU, several beside each GPU.
    processes = processes_per_node(request)
    if get_spec(require_accelerate(request)).device == "cpu":
        return [*options, f"--cpus-per-task={processes}"]
    gpus = processes
    if request.vllm == "server":
        gpus += request.vllm_gpus
    return [*options, f"--gpus-per-node={gpus}", f"--cpus-per-task={CPUS_PER_GPU * gpus}"]


def _render_node_script(request: LaunchRequest) -> str:
    """What each node runs: the launcher, wrapped in node.sh if it has to find other nodes.

    node.sh keeps the shell between Slurm and the launcher alive after SIGTERM, until the launcher
    has saved. It also cancels the step if a launcher fails, since one that fails before the others
    have met it would be waited for; but first the others get the time to notice and report it.
    """
    launcher = shlex.join(_launcher_command(request))
    keys = f" -- {shlex.join(request.keys)}" if request.keys else ""
    if request.nodes == 1:
        return launcher + keys
    # Unquoted: the shell of each node expands Slurm's variables.
    rendezvous = ' --nodes "$SLURM_NNODES" --node-rank "$SLURM_NODEID" --master "$master"'
    script = _render(
        "node.sh",
        command=launcher + rendezvous + keys,
        stopped=STOPPED,
        seconds_to_report=f"{SILENCE_LIMIT + 30:.0f}",
    )
    return script.removesuffix("\n")


def _launcher_command(request: LaunchRequest) -> list[str]:
    command = [*launcher(), request.stage, request.config]
    command += ["--accelerate", require_accelerate(request)]
    # Defaults are left out.
    if request.num_processes != "auto":
        command += ["--num-processes", request.num_processes]
    if request.vllm:
        command += ["--vllm", request.vllm]
    if request.vllm_gpus != 1:
        command += ["--vllm-gpus", str(request.vllm_gpus)]
    return command


def _render(template: str, **values: object) -> str:
    text = Path(__file__).with_name(template).read_text(encoding="utf-8")
    return ShellTemplate(text).substitute(values)
