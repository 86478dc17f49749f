"""The models that `evaluate` is to score: which there are, and which are not there yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recipes.core.errors import UserError
from recipes.core.evaluation import NotScored
from recipes.core.preflight.model import check_model_folder, check_model_path
from recipes.core.runs.fingerprints import model_sha256
from recipes.core.runtime.device import process_state


@dataclass(frozen=True)
class EvaluatedModel:
    """A model: the name that files and tables use, and its folder, hub id or address."""

    name: str
    path: str

    @cached_property
    def weights_sha256(self) -> str | None:
        """The hash of its weights, on the main process; it takes seconds a gigabyte."""
        if not process_state().is_main_process:
            return None
        return model_sha256(self.path)


def list_models(
    entries: Sequence[str] | None, single: str | None, run_dir: Path, not_scored: NotScored
) -> list[EvaluatedModel]:
    """The models to evaluate. One whose folder has no model, or is not there, is left out.

    An entry of `models` is `name=folder or hub id`, `name=http://host/v1#model`, or the name of an
    artefact of the run, such as `policy`.

    Args:
        entries: the key `models`.
        single: the key `model_name_or_path`, which wins.
        run_dir: the folder of the run, for artefacts.
    """
    if single:
        entries = [f"{Path(single).name}={single}"]
    if not entries:
        raise UserError(
            "models is not set; write `models: [base=some/folder, policy, student]` "
            "or `--model_name_or_path X`"
        )

    # A name must be unique: files and tables use it.
    paths: dict[str, str] = {}
    artefacts = set()
    for entry in entries:
        name, separator, path = entry.partition("=")
        if not name or name in paths:
            raise UserError(
                f"models: {entry!r} needs a unique name, as in name={path or 'some/folder'}"
            )
        if not separator:
            path = str(run_dir / name)
            artefacts.add(name)
        paths[name] = path
        _check_address(entry, name, path)

    models = []
    for name, path in paths.items():
        with not_scored.instead_of_error(name):
            if name in artefacts:
                check_model_folder("models", Path(path))
            elif not _is_address(path):
                check_model_path("models", path)
            models.append(EvaluatedModel(name, path))
    return models


def _check_address(entry: str, name: str, path: str) -> None:
    """Raises `UserError` for an address without the name of a model."""
    if _is_address(path) and not path.partition("#")[2]:
        raise UserError(f"models: {entry!r} lacks the model's name; write {name}={path}#model")


def _is_address(path: str) -> bool:
    return path.startswith(("http://", "https://"))
