"""All stages of one seed of `compare`, and what each arm cost."""

from dataclasses import dataclass
from pathlib import Path

from recipes.core.config.yaml_files import read_yaml
from recipes.core.data.benchmarks import HELD_OUT
from recipes.core.evaluation.score_book import ModelScores
from recipes.core.runs.manifest import read_manifest
from recipes.tools.stage_runner import Cost, run_stage_command, sampling_cost, training_cost

# The arms of equal compute are in the middle; the student's base and the teacher are references.
ARMS = ("student_base", "rl_only", "distilled", "distilled_then_rl", "teacher")

# What is measured by the clock runs in one piece: a killed training starts from scratch.
NO_CHECKPOINTS = ("--save_strategy", "no")
NO_STEP_LIMIT = ("--max_steps", 10**6)


@dataclass(frozen=True)
class TeachingCost:
    """What distillation cost, by stage: the teacher, its traces, the student."""

    grpo: Cost
    generate: Cost
    sft: Cost

    @property
    def teacher(self) -> Cost:
        """The part of it that comes before the student: training the teacher and sampling."""
        return self.grpo + self.generate

    @property
    def total(self) -> Cost:
        """All three stages."""
        return self.teacher + self.sft


@dataclass(frozen=True)
class ArmCost:
    """What an arm cost, and the part of it that its teacher took: training and sampling traces."""

    total: Cost
    teacher_share: Cost


@dataclass(frozen=True)
class SeedRun:
    """All stages of one seed, in a folder of their own.

    A stage that has finished is not run again.
    """

    recipe: Path
    folder: Path
    seed: int

    @property
    def student(self) -> str:
        """The base model of every arm."""
        return str(read_yaml(self.recipe / "sft.yaml")["model_name_or_path"])

    def train_teacher(self) -> TeachingCost:
        """Trains the teacher, samples its traces, and trains the student that learns them."""
        keys = ("--seed", self.seed, *NO_CHECKPOINTS)
        self._run("grpo", self.folder, *keys, done="policy/manifest.json")

        # Sampling is measured by the clock too: what an interrupted run left is removed.
        if read_manifest(self.folder / "traces.manifest.json").get("status") != "finished":
            for file in self.folder.glob("generations.*"):
                file.unlink()
        self._run("generate", self.folder, "--seed", self.seed, done="traces.manifest.json")
        self._run("sft", self.folder, *keys, done="student/manifest.json")
        return self.teaching_cost()

    def rl_only(self, seconds: float) -> None:
        """RL of the student's base for as long as the distilled student took in all."""
        self._reinforce("rl_only", self.student, seconds)

    def distill_then_rl(self, seconds: float) -> None:
        """Half of the epochs on the traces, and RL in the seconds of the other half."""
        # A student of its own, on the traces that the teacher has already sampled.
        epochs = float(read_yaml(self.recipe / "sft.yaml")["num_train_epochs"]) / 2
        keys = ("--seed", self.seed, *NO_CHECKPOINTS, "--num_train_epochs", epochs)
        traces = ("--traces", self.folder / "traces.jsonl")
        folder = self.folder / "then_rl"
        self._run("sft", folder, *keys, *traces, done="student/manifest.json")

        # RL continues from that student.
        self._reinforce("then_rl", folder / "student", seconds)

    def evaluate(self) -> None:
        """Scores all arms on the held-out questions."""
        # An arm is a model under a name of its own; the student's base is not trained at all.
        folder = self.folder
        models = (
            f"student_base={self.student}",
            f"rl_only={folder}/rl_only/policy",
            f"distilled={folder}/student",
            f"distilled_then_rl={folder}/then_rl/policy",
            f"teacher={folder}/policy",
        )
        keys = ("--seed", self.seed, "--eval_sets", "[]", "--models", *models)
        self._run("evaluate", folder, *keys, done="scores.manifest.json")

    def scores(self) -> dict[str, ModelScores]:
        """The held-out scores by arm."""
        document = read_manifest(self.folder / "scores.json")
        return document[HELD_OUT]["models"]

    def teaching_cost(self) -> TeachingCost:
        """What the stages of `train_teacher` cost."""
        return TeachingCost(
            grpo=training_cost(self.folder / "policy"),
            generate=sampling_cost(self.folder / "generations.manifest.json"),
            sft=training_cost(self.folder / "student"),
        )

    def arm_costs(self) -> dict[str, ArmCost]:
        """What each arm cost, in the order of `ARMS`."""
        # A student that learns traces also pays for its teacher: without it there would be none.
        teaching = self.teaching_cost()
        nothing = Cost()
        rl_only = training_cost(self.folder / "rl_only/policy")
        half_student = training_cost(self.folder / "then_rl/student")
        then_rl = training_cost(self.folder / "then_rl/policy")
        return {
            "student_base": ArmCost(nothing, teacher_share=nothing),
            "rl_only": ArmCost(rl_only, teacher_share=nothing),
            "distilled": ArmCost(teaching.total, teacher_share=teaching.teacher),
            "distilled_then_rl": ArmCost(
                teaching.teacher + half_student + then_rl, teacher_share=teaching.teacher
            ),
            "teacher": ArmCost(teaching.grpo, teacher_share=teaching.grpo),
        }

    def _reinforce(self, name: str, model: object, seconds: float) -> None:
        """Runs GRPO on a model until the seconds are over, not for the recipe's steps."""
        keys = ("--seed", self.seed, "--model_name_or_path", model)
        limits = ("--max_seconds", round(seconds, 1), *NO_STEP_LIMIT, *NO_CHECKPOINTS)
        self._run("grpo", self.folder / name, *keys, *limits, done="policy/manifest.json")

    def _run(self, stage: str, folder: Path, *keys: object, done: str) -> None:
        run_stage_command(stage, self.recipe, folder, *keys, done=folder / done)
