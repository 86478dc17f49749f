"""./launch.sh STAGE CONFIG [options] [[--] --key value ...]

Checks everything that can be checked before a stage starts, prints its exact command and runs it.

  STAGE            grpo, generate, sft, on_policy or evaluate
  CONFIG           the stage's YAML, such as recipes/arithmetic/grpo.yaml, in the current folder or
                   in the repository
  --key value      any key of the stage; overrides the YAML. After `--`, every argument is a key
                   of the stage, even if it is spelled like an option below
  --accelerate     a file of accelerate_configs/, without .yaml
                   (default: single_gpu on a machine with a GPU, else cpu)
  --num-processes  processes per machine; auto (the default) is one per GPU, one per core for
                   cpu_ddp, and otherwise one
  --nodes N --node-rank R --master HOST:PORT
                   several machines: run the same command on each of them, with its own rank
                   (from 0); HOST is the machine of rank 0
  --slurm          writes and submits a batch script that starts one launcher on each of --nodes
                   machines; needs --accelerate and --num-processes, which determine the GPUs and
                   cores that the job requests
  --partition P, --time T
                   of the Slurm job; sbatch reads its other options from environment variables,
                   such as SBATCH_ACCOUNT
  --vllm           grpo only: server starts `trl vllm-serve` on GPUs of its own, colocate shares
                   the trainer's GPUs, off samples with transformers; by default the recipe's
                   keys decide
  --vllm-gpus K    how many of this machine's GPUs the server gets; it takes the last ones
                   (default: 1)
  --dry-run        prints the command and exits

Exit codes: 0 on success; 2 for an error that you can fix; 75 after SIGTERM or preemption, when the
same command resumes from the last checkpoint; 70 if a process died or hung; 130 after Ctrl-C;
otherwise 1. When the launcher exits, every process that it started is gone.
"""

import dataclasses
import sys

from recipes.core.errors import UserError
from recipes.core.launch.command import Launch, build_command
from recipes.core.launch.host import check_master, gloo_interface
from recipes.core.launch.request import LaunchRequest, check_files, parse_request
from recipes.core.launch.slurm import submit_job
from recipes.core.launch.supervisor import supervise
from recipes.core.runtime.stopping import USER_ERROR


def main() -> None:
    arguments = sys.argv[1:]
    # Without arguments the usage is an error message, with --help it is the answer.
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(f"{__doc__}")
        sys.exit(0 if arguments else USER_ERROR)
    try:
        sys.exit(launch(arguments))
    except UserError as error:
        sys.stderr.write(f"launch.sh: {error}\n")
        sys.exit(USER_ERROR)


def launch(arguments: list[str]) -> int:
    """Does what `./launch.sh` does with these arguments and returns its exit code.

    Raises `UserError` if the stage cannot be started.
    """
    request = parse_request(arguments)
    check_files(request)
    # The batch job calls this launcher again, on each of its nodes.
    if request.slurm:
        return submit_job(request)

    # Print the command first: it is what a dry run is for, and documents a real one.
    planned = build_command(request)
    sys.stdout.write(f"{planned}\n")
    sys.stdout.flush()
    if request.dry_run:
        return 0
    return supervise(_connect_machines(planned, request))


def _connect_machines(planned: Launch, request: LaunchRequest) -> Launch:
    """Checks the machine of rank 0 and adds the network interface that leads to it."""
    if request.master is None or request.node_rank is None:  # a single machine
        return planned
    host, address = check_master(request.master, request.node_rank)
    environment = planned.environment | gloo_interface(host, address)
    return dataclasses.replace(planned, environment=environment)
