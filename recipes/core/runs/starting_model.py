"""The model that a training starts from: full weights, or an adapter merged with its base."""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.config import Config
from recipes.core.errors import UserError
from recipes.core.files import write_json
from recipes.core.models.loading import adapter_base, load_model
from recipes.core.runs.fingerprints import model_sha256
from recipes.core.runs.manifest import read_manifest
from recipes.core.runtime.device import process_state

if TYPE_CHECKING:
    from trl import ModelConfig

logger = logging.getLogger(__name__)

MERGED_FROM = "merged_from.json"


def starting_model(config: Config, model_args: "ModelConfig") -> str:
    """The folder or hub id with the full weights that `model_name_or_path` stands for.

    An adapter is merged with its base into a folder of the run, which stays there: an adapter
    trained on top needs it as its own base.

    Raises `UserError` if that folder holds another model.
    """
    name = str(model_args.model_name_or_path)
    if adapter_base(name) is None:
        return name
    assert config.stage
    folder = config.run_dir / f"{config.stage.artifact}_base"
    # The main process merges; the others wait.
    state = process_state()
    with state.main_process_first():
        if state.is_main_process:
            _merge_once(name, model_args, folder)
    return str(folder)


def _merge_once(name: str, model_args: "ModelConfig", folder: Path) -> None:
    source = {"adapter": name, "sha256": model_sha256(name)}
    merged = read_manifest(folder / MERGED_FROM)
    if merged == source:
        return
    if folder.exists():
        raise UserError(
            f"{folder} is the base of another run ({merged.get('adapter', 'unknown')}); "
            "choose another `--output_dir`, or remove it together with what was trained on it"
        )
    # A kill leaves nothing under the final name.
    unfinished = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    load_model(name, model_args).save_pretrained(unfinished)
    _tokenizer_of(name).save_pretrained(unfinished)
    write_json(unfinished / MERGED_FROM, source)
    unfinished.rename(folder)
    logger.info(
        "model_name_or_path: the adapter %s was merged with %s into %s, which is trained from",
        name,
        adapter_base(name),
        folder,
    )


def _tokenizer_of(adapter: str) -> Any:
    """The tokenizer that was saved with the adapter, or that of its base."""
    from transformers import AutoTokenizer

    has_tokenizer = (Path(adapter) / "tokenizer_config.json").is_file()
    source = adapter if has_tokenizer else adapter_base(adapter)
    return AutoTokenizer.from_pretrained(source)
