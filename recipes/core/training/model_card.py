"""The README.md beside a trained model: TRL's card, which here names the base and the data."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from trl import ModelConfig, ScriptArguments

from recipes.core.config import Config

# matches: gpt2  Qwen/Qwen3-1.7B-Base
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Origin:
    """What a model was trained from: hub ids, folders, files, or a function."""

    base: str
    data: str

    @classmethod
    def of_run(cls, config: Config) -> Self:
        """The origin of the model that a stage trains; without a dataset it learns its traces."""
        base = config.parse(ModelConfig).model_name_or_path
        data = config.parse(ScriptArguments).dataset_name
        return cls(str(base), str(data or config.run_dir / "traces.jsonl"))


class ModelCard:
    """Mixin for TRL's trainers: its model card names `origin`, which `train` sets."""

    origin: Origin | None = None

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Writes README.md to the output folder, with each checkpoint and at the end."""
        super().create_model_card(*args, **kwargs)  # type: ignore[misc]
        trainer: Any = self
        if trainer.is_world_process_zero() and self.origin:
            is_adapter = hasattr(trainer.model, "peft_config")
            _complete_card(Path(trainer.args.output_dir) / "README.md", self.origin, is_adapter)


def _complete_card(file: Path, origin: Origin, is_adapter: bool) -> None:
    from huggingface_hub import ModelCard as HubCard

    # The metadata is for the hub, which refuses everything that is no hub id.
    card = HubCard.load(file)
    card.data.base_model = origin.base if _is_hub_id(origin.base) else None
    card.data.datasets = [origin.data] if _is_hub_id(origin.data) else None
    if is_adapter:
        card.data.library_name = "peft"

    # The text is for people. Without a hub id of its own, the model is the folder of the card.
    sentence = f"This model is {_link(origin.base)} trained on {_link(origin.data, 'datasets/')}."
    text = re.sub("This model is a fine-tuned version of .*", lambda _: sentence, card.text)
    card.text = text.replace('model="None"', f'model="{file.parent}"')
    card.save(file)


def _link(name: str, kind: str = "") -> str:
    """A hub id as a link, anything else as code."""
    if _is_hub_id(name):
        return f"[{name}](https://huggingface.co/{kind}{name})"
    return f"`{name}`"


def _is_hub_id(name: str) -> bool:
    return _HUB_ID.fullmatch(name) is not None and not Path(name).exists()
