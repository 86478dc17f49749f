"""The words of a stage's command line: `--config FILE`, `--print-config`, and `--key value`."""

from pathlib import Path

from recipes.core.errors import UserError

PRINT_CONFIG = ("--print-config", "--print_config")


def take_config_option(arguments: list[str]) -> Path | None:
    """Removes `--config PATH` or `--config=PATH` from `arguments` and returns the path."""
    # argparse cannot do this: the other words are keys that it does not know.
    for index, word in enumerate(arguments):
        if word.startswith("--config="):
            del arguments[index]
            return Path(word.removeprefix("--config="))
        if word == "--config":
            if index + 1 == len(arguments):
                raise UserError(
                    "the command line: --config needs the path of a YAML, "
                    "such as recipes/arithmetic/grpo.yaml"
                )
            path = Path(arguments[index + 1])
            del arguments[index : index + 2]
            return path
    return None


def key_of_option(word: str) -> str | None:
    """`learning_rate` for `--learning-rate=1e-4`; `None` for a word that is not an option."""
    if not word.startswith("--"):
        return None
    return word[2:].split("=")[0].replace("-", "_")


def keys_of_options(arguments: list[str]) -> list[str]:
    """The keys that the command line sets."""
    keys = map(key_of_option, arguments)
    return [key for key in keys if key]


def rename_option(arguments: list[str], old: str, new: str) -> None:
    """Renames the key `old` of the command line, in place."""
    for index, word in enumerate(arguments):
        if key_of_option(word) == old:
            _, separator, value = word.partition("=")
            arguments[index] = f"--{new}{separator}{value}"
