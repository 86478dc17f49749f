"""`./launch.sh STAGE CONFIG --slurm`: a batch script that starts one launcher per node, and its submission."""

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from recipes.core.config.config import read_config
from recipes.core.config.yaml_files import recipe_name
from recipes.core.errors import UserError
from recipes.core.launch.host import CPU_CONFIGS, SINGLE_PROCESS_CONFIGS
from recipes.core.paths import ROOT
from recipes.core.preflight.batch import BatchArguments, check_batch
from recipes.core.runtime.stopping import STOPPED
from recipes.core.runtime.watchdog import SILENCE_LIMIT

# Slurm sends SIGTERM this long before the time limit: time for the step under way, and to save.
_WARNING_SECONDS = 300
CPUS_PER_GPU = 4  # for the process, and for what judges its answers

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
{more}#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@{warning}
#SBATCH --output={folder}/slurm-%j.txt
# One launcher per node. Pre-empted or at its time limit, the run saves and exits with 75; the job is then queued again and goes on.
set -uo pipefail
cd {root}
master=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):$((20000 + SLURM_JOB_ID % 10000))
export master
srun --kill-on-bad-exit=0 --wait=0 --cpus-per-task="${{SLURM_CPUS_PER_TASK:-1}}" bash -c {launcher}
code=$?
# A job that was cancelled is not RUNNING any more, and stays cancelled.
if [[ $code == 75 && $(scontrol show job "$SLURM_JOB_ID") == *JobState=RUNNING* ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
"""

# A launcher that failed before the others met it would be waited for; one that was stopped leaves them the time to save. The
# shell between Slurm and the launcher must not end before it at SIGTERM.
_BEGINNING = "trap : TERM\n"
_ENDING = f"""
code=$?
[[ $code == 0 || $code == {STOPPED} ]] || {{ sleep {SILENCE_LIMIT + 30:.0f}; scancel "$SLURM_JOB_ID.$SLURM_STEP_ID"; }}
exit $code"""


def render_script(
    stage: str, config: str, options: argparse.Namespace, keys: list[str], folder: Path
) -> str:
    """The batch script."""
    more = [
        f"--{name}={value}" for name in ("partition", "time") if (value := getattr(options, name))
    ]
    count = processes_per_node(options)
    if options.accelerate in CPU_CONFIGS:
        more.append(f"--cpus-per-task={count}")
    else:
        count += options.vllm_gpus if options.vllm == "server" else 0
        more += [f"--gpus-per-node={count}", f"--cpus-per-task={CPUS_PER_GPU * count}"]
    launcher = ["./launch.sh", stage, config]
    for name in ("accelerate", "num_processes", "vllm", "vllm_gpus"):
        if (value := getattr(options, name)) not in (None, "auto", 1):  # the defaults
            launcher += [f"--{name.replace('_', '-')}", str(value)]
    beginning, places, ending = "", "", ""
    if options.nodes > 1:
        places = ' --nodes "$SLURM_NNODES" --node-rank "$SLURM_NODEID" --master "$master"'
        beginning, ending = _BEGINNING, _ENDING
    return _SCRIPT.format(
        name=f"{recipe_name(config)}-{stage}",
        nodes=options.nodes,
        more="".join(f"#SBATCH {line}\n" for line in more),
        warning=_WARNING_SECONDS,
        folder=folder,
        root=shlex.quote(str(ROOT)),
        launcher=shlex.quote(
            beginning
            + shlex.join(launcher)
            + places
            + (f" -- {shlex.join(keys)}" if keys else "")
            + ending
        ),
    )


def processes_per_node(options: argparse.Namespace) -> int:
    """On each node. Raises `UserError` if that is left to be found out there: a job gets what it asked for before."""
    if options.accelerate is None:
        raise UserError(
            "--slurm: write --accelerate, too: a job has the GPUs that it asks for, if any"
        )
    if options.num_processes.isdigit():
        return int(options.num_processes)
    if options.accelerate in SINGLE_PROCESS_CONFIGS:
        return 1
    raise UserError(
        f"--slurm: write --num-processes, too: how many each node has with --accelerate {options.accelerate}"
    )


def submit_job(stage: str, config: str, options: argparse.Namespace, keys: list[str]) -> int:
    """Prints the script; without --dry-run also writes and submits it. Raises `UserError` if Slurm is not there or refuses."""
    values = read_config(stage, argv=["--config", config, *keys])
    folder = values.run_dir.absolute()
    count = processes_per_node(options)
    if stage == "grpo":
        check_batch(values.parse(BatchArguments), count * options.nodes)
    text = render_script(stage, config, options, keys, folder)
    sys.stdout.write(text)
    if options.dry_run:
        return 0
    if shutil.which("sbatch") is None:
        raise UserError("--slurm: there is no `sbatch` on this machine")
    # A job may wait for hours: what the stage itself can know to be wrong is known before.
    check = [sys.executable, f"recipes/{stage}.py", "--config", config, *keys, "--print-config"]
    checked = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    if checked.returncode:
        raise UserError(checked.stderr.strip().removeprefix("error: "))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{stage}.sbatch"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(["sbatch", str(file)], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"sbatch {file}: {' '.join(done.stderr.split())}")
    sys.stdout.write(done.stdout)
    return 0
