#!/usr/bin/env bash
# ./launch.sh STAGE CONFIG [options] [--key value ...]; ./launch.sh --help lists the options.
#
# Prints the exact accelerate command of a stage, runs it, and leaves no process behind. The code is
# in recipes/core/launch/. It can be called from any folder; paths are relative to that folder.
set -euo pipefail
repository=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
readonly needs='
import importlib.util, sys
found = sys.version_info >= (3, 11) and all(map(importlib.util.find_spec, ("trl", "accelerate")))
sys.exit(not found)'

# The environment that is activated or, if that lacks something, the one of `make install`. Where
# there is none of the two, `python` is whatever the user's PATH leads to.
active=${VIRTUAL_ENV:-${CONDA_PREFIX:-$repository/.venv}}
for environment in "$active" "$repository/.venv"; do
  path=$environment/bin:$PATH
  if PATH=$path python -c "$needs" 2>/dev/null; then
    # The code beside this script, even if the environment has installed another copy of it.
    export PATH=$path PYTHONPATH=$repository${PYTHONPATH:+:$PYTHONPATH}
    exec python -P -m recipes.core.launch "$@"
  fi
done
printf 'launch.sh: found no environment with trl and accelerate on Python 3.11 or newer; run %s, or %s\n' \
  "make -C '$repository' install" "activate your own after pip install -e '$repository'" >&2
exit 2
