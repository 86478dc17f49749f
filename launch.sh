#!/usr/bin/env bash
# ./launch.sh STAGE CONFIG [options] [--key value ...]; ./launch.sh --help lists the options.
#
# Prints the exact accelerate command of a stage, runs it, and leaves no process behind. The code is
# in recipes/core/launch/.
set -euo pipefail
cd "$(dirname "$0")"
exec python -m recipes.core.launch "$@"
