"""Stands for the package `recipes` where a stage is started as a script.

Python then looks for modules in the script's own folder first, and finds this one: so that
`python /anywhere/recipes/grpo.py` runs the code beside it, installed or not, and not that of
another clone that happens to be installed.
"""

import sys
from pathlib import Path

__path__ = [str(Path(__file__).parent)]

# Behind the folder of the script, before everything that is installed: `rewards` is found here.
sys.path.insert(1, str(Path(__file__).parents[1]))
