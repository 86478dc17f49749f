"""What a stage is: its name, the dataclasses that hold its keys, and the artefact it writes."""

from dataclasses import dataclass, fields

from recipes.core.config.keys import training_keys


@dataclass
class RunArguments:
    """Keys that every stage takes."""

    output_dir: str | None = None
    seed: int = 42


@dataclass(frozen=True)
class StageSpec:
    """Declaration of a stage, at the top of its script.

    The stage itself, `--help`, the preflight checks and the tests read it.

    Attributes:
        name: the script's name, as in recipes/<name>.py and recipes/defaults/<name>.yaml.
        arguments: dataclasses whose fields are the stage's keys.
        trl_config: TRL's class of training arguments, such as "GRPOConfig", for a stage that trains.
        artifact: folder or file that the stage writes, relative to the folder of the run.
    """

    name: str
    arguments: tuple[type, ...]
    trl_config: str | None = None
    artifact: str = ""

    def known_keys(self) -> set[str]:
        """All keys that the stage takes; TRL's are read without importing it, which takes seconds."""
        # Ours, then those of TRL.
        known = {f.name for cls in self.arguments for f in fields(cls)}
        if self.trl_config:
            known |= training_keys(self.trl_config)
        return known
