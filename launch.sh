#!/usr/bin/env bash
# ./launch.sh STAGE CONFIG [--accelerate NAME] [--num-processes N|auto] [--dry-run] [--key value ...]
#
# Prints the exact accelerate command of a stage and runs it.
#   STAGE            grpo, generate, sft or evaluate
#   CONFIG           the stage's YAML, such as recipes/arithmetic/grpo.yaml
#   --accelerate     a file of accelerate_configs/, without .yaml (default: single_gpu with a GPU, else cpu)
#   --num-processes  how many processes; auto (the default) is one per GPU, or one
#   --dry-run        print the command and stop
#   --key value      any key of the stage, over the YAML's
set -euo pipefail
cd "$(dirname "$0")"
fail() { echo "launch.sh: $1" >&2; exit 2; }
usage() { sed -n '2,11s/^# \{0,1\}//p' launch.sh; }

[[ "${1:-}" != --help && "${1:-}" != -h ]] || { usage; exit 0; }
[[ $# -ge 2 ]] || { usage >&2; exit 2; }
stage=$1 config=$2
shift 2
[[ -f recipes/defaults/$stage.yaml ]] || fail "there is no stage '$stage'; there are: $(cd recipes/defaults && ls -- *.yaml | sed 's/\.yaml$//' | xargs)"
[[ -f $config ]] || fail "there is no config '$config'; there are: $(ls recipes/*/"$stage".yaml | xargs)"

# CUDA_VISIBLE_DEVICES is honoured by asking torch; without a driver the question costs nothing.
gpus=0
[[ ! -e /dev/nvidiactl ]] || gpus=$(python -c 'import torch; print(torch.cuda.device_count())')
accelerate=cpu
((gpus == 0)) || accelerate=single_gpu
processes=auto dry_run=false overrides=()
while (($#)); do
  case $1 in
    --accelerate) accelerate=${2:?--accelerate needs a name}; shift 2 ;;
    --num-processes) processes=${2:?--num-processes needs a number or auto}; shift 2 ;;
    --dry-run) dry_run=true; shift ;;
    *) overrides+=("$1"); shift ;;
  esac
done
[[ -f accelerate_configs/$accelerate.yaml ]] \
  || fail "there is no accelerate config '$accelerate'; there are: $(cd accelerate_configs && ls -- *.yaml | sed 's/\.yaml$//' | xargs)"
single=false
[[ $accelerate != cpu && $accelerate != single_gpu ]] || single=true
if [[ $processes == auto ]]; then
  processes=1
  $single || ((gpus <= 1)) || processes=$gpus
fi
[[ $processes =~ ^[1-9][0-9]*$ ]] || fail "--num-processes is '$processes'; write a number or auto"
! $single || ((processes == 1)) || fail "$accelerate is one process; take ddp, zero2 or zero3 (fsdp2 on GPUs) for $processes"
# accelerate refuses the several-process launcher for one process of plain ddp; one process needs none.
[[ $accelerate != ddp ]] || ((processes > 1)) || fail "ddp needs two processes or more (found $gpus GPU); write --num-processes 2, or --accelerate cpu"

command=(accelerate launch --quiet --config_file "accelerate_configs/$accelerate.yaml" --num_processes "$processes"
  "recipes/$stage.py" --config "$config" ${overrides[@]+"${overrides[@]}"})
printf '%q ' "${command[@]}" | sed 's/ $/\n/'
$dry_run || exec "${command[@]}"
