"""The embedded recipe: generated arithmetic questions that models learn on two CPU cores."""
