"""What a stage is: its name, its keys, and the artefact that it writes."""

from dataclasses import dataclass, field


@dataclass
class RunArguments:
    """Keys that every stage takes."""

    output_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder of the run; every stage leaves its artefact in it. Default: outputs/<recipe>."
        },
    )
    seed: int = field(default=42, metadata={"help": "Seed of everything random in the stage."})
