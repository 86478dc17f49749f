"""Compares the speed of sampling in `generate` with a plain loop over `model.generate`.

    python -m benchmarks.bench_generation [--model_name_or_path FOLDER] [--key value ...]

Takes the keys of `generate`. The teacher is an untrained LoRA adapter on the model (default: the
base that the recipe arithmetic ships), as GRPO saves one.

Both sides answer the same questions equally often, with the same batch size, in turns. Ours is all
of `generate` but the selection: sampling, scoring and writing. The plain loop takes the questions
in the order of the dataset, once with the adapter as it is loaded, once merged into its base.

Prints the lengths of the completions, and the median speed of each side and the ratio to ours.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trl import ModelConfig

from recipes.core.config import Config, load_config
from recipes.core.data import drop_duplicates, load_questions
from recipes.core.generation import SamplingArguments, SamplingJob, collect_samples
from recipes.core.generation.sampling import batches
from recipes.core.generation.transformers_sampler import TransformersSampler
from recipes.core.models.loading import load_kwargs
from recipes.core.prompts import load_tokenizer, render_prompt
from recipes.generate import STAGE, GenerateArguments
from rewards import get_reward

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

ROUNDS = 3  # that are measured, after one that warms everything up
DEFAULT_CONFIG = ["--config", "recipes/arithmetic/generate.yaml"]
DEFAULT_KEYS = ["--max_train_samples", "512", "--num_generations", "4", "--batch_size", "256"]
DEFAULT_MODEL = "recipes/arithmetic/models/base"

OURS = "ours"
PLAIN_ADAPTER = "plain loop, adapter"
PLAIN_MERGED = "plain loop, merged"


class Sides(NamedTuple):
    """What is compared, by name: speeds of each round, and the lengths of our completions."""

    speeds: dict[str, list[float]]
    lengths: list[int]


def main() -> None:
    # The command line comes last and wins over the defaults.
    argv = [*DEFAULT_KEYS, *sys.argv[1:]]
    if "--config" not in argv:
        argv = [*DEFAULT_CONFIG, *argv]
    config = load_config(STAGE, argv)
    args = config.parse(GenerateArguments)
    model = config.parse(ModelConfig).model_name_or_path or DEFAULT_MODEL
    questions = load_questions(args, args.dataset_train_split, args.max_train_samples)
    questions = drop_duplicates(questions)

    # The adapter and the samples are removed at the end.
    with tempfile.TemporaryDirectory() as folder:
        sides = measure(config, model, questions, folder)
    per_question = config.parse(SamplingArguments).num_generations
    title = f"{len(questions)} questions x {per_question}, batch {args.batch_size}, {model}\n"
    sys.stdout.write(title + describe(sides))


def measure(config: Config, model: str, questions: "Dataset", folder: str) -> Sides:
    """Samples `ROUNDS` times from each side, in turns.

    So a change in the load of the machine meets all of them.
    """
    args = config.parse(GenerateArguments)
    sampling = config.parse(SamplingArguments)

    # The same weights twice: as an adapter, and merged, which is how our sampler loads it.
    tokenizer = load_tokenizer(model, args.chat_template)
    adapter = save_and_load_adapter(model, config.parse(ModelConfig), folder)
    sampler = TransformersSampler(folder, config.parse(ModelConfig), tokenizer)
    adapter.to(sampler.model.device)
    plain_loop = PlainLoop(tokenizer, questions, sampling, args.batch_size)
    scorers = {"correct": get_reward("accuracy"), "format": get_reward("format")}

    # A round is a seed, the same one for all sides.
    sides = Sides(speeds={OURS: [], PLAIN_ADAPTER: [], PLAIN_MERGED: []}, lengths=[])
    for seed in range(ROUNDS + 1):
        file = Path(folder, f"{seed}.jsonl")
        job = SamplingJob(questions, sampling, scorers, file, seed, args.batch_size, label=OURS)
        samples, stats = collect_samples(sampler, job)
        measured = {
            OURS: stats["tokens_per_second"],
            PLAIN_ADAPTER: plain_loop.run(adapter, seed),
            PLAIN_MERGED: plain_loop.run(sampler.model, seed),
        }
        if seed > 0:  # the first round warms everything up
            sides.lengths.extend(sample["tokens"] for sample in samples)
            for side, speed in measured.items():
                sides.speeds[side].append(speed)
    return sides


def save_and_load_adapter(model: str, model_args: ModelConfig, folder: str) -> Any:
    """Saves an untrained LoRA adapter of all linear layers, and loads it without merging."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model, **load_kwargs(model_args))
    lora = LoraConfig(r=16, target_modules="all-linear")
    get_peft_model(base, lora).save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, **load_kwargs(model_args))


class PlainLoop:
    """The peer: fixed batches of prompts, in the order of the dataset, through `model.generate`."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        questions: "Dataset",
        sampling: SamplingArguments,
        batch_size: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.sampling = sampling
        self.batch_size = batch_size
        self.prompts: list[str] = []
        for prompt in questions["prompt"]:
            self.prompts += [render_prompt(tokenizer, prompt)] * sampling.num_generations

    def run(self, model: Any, seed: int) -> float:
        """Samples one completion for each prompt, and returns tokens per second."""
        import torch

        torch.manual_seed(seed)
        tokens = 0
        started = time.perf_counter()
        for batch in batches(len(self.prompts), self.batch_size):
            tokens += self._sample(model, [self.prompts[index] for index in batch])
        return tokens / (time.perf_counter() - started)

    def _sample(self, model: Any, prompts: list[str]) -> int:
        """Samples one batch and decodes it; returns the number of its tokens without padding."""
        import torch

        inputs = self.tokenizer(
            prompts, return_tensors="pt", padding=True, add_special_tokens=False
        )
        with torch.inference_mode():
            output = model.generate(
                **inputs.to(model.device),
                max_new_tokens=self.sampling.max_completion_length,
                do_sample=True,
                temperature=self.sampling.temperature,
                top_p=self.sampling.top_p,
                top_k=self.sampling.top_k,
            )

        # `generate` decodes its completions, so the plain loop does too.
        completions = output[:, inputs["input_ids"].shape[1] :]
        self.tokenizer.batch_decode(completions, skip_special_tokens=True)
        return int((completions != self.tokenizer.pad_token_id).sum())


def describe(sides: Sides) -> str:
    """The lengths of the completions and the speed of each side."""
    ordered = sorted(sides.lengths)
    quantiles = [ordered[round(tenth * (len(ordered) - 1) / 10)] for tenth in (0, 1, 5, 9, 10)]
    text = f"completions: shortest, 10 %, median, 90 % and longest of {quantiles} tokens\n"
    ours = statistics.median(sides.speeds[OURS])
    for side, measured in sides.speeds.items():
        speed = statistics.median(measured)
        spread = f"{min(measured):.0f} to {max(measured):.0f}"
        text += f"{side}: {speed:.0f} tokens/s ({spread})"
        if side != OURS:
            text += f"; ours is {ours / speed:.2f} times as fast"
        text += "\n"
    return text


if __name__ == "__main__":
    main()
