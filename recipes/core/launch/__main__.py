"""`python -m recipes.core.launch`: what ./launch.sh runs."""

from recipes.core.launch.cli import main

main()
