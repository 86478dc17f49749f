"""The embedded recipe: arithmetic, made up on the spot, learnt on two CPU cores."""
