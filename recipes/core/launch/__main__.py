"""`python -m recipes.core.launch`, which ./launch.sh runs."""

from recipes.core.launch.cli import main

main()
