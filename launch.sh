#!/usr/bin/env bash
# ./launch.sh STAGE CONFIG [options] [--key value ...]; ./launch.sh --help lists the options.
#
# Prints the exact accelerate command of a stage, runs it, and ends what it has started: recipes/core/launch/.
set -euo pipefail
cd "$(dirname "$0")"
exec python -m recipes.core.launch "$@"
