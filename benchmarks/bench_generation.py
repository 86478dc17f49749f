"""How fast does `generate` draw completions, against a plain loop over `model.generate` at the same batch size?

    python -m benchmarks.bench_generation [--model_name_or_path FOLDER] [--key value ...]

The teacher is a LoRA adapter on the model (the base that arithmetic ships), as GRPO leaves it. Both sides answer the same questions
equally often, by turns, three times; the medians count. Ours is the whole of `generate`: drawing, judging and writing. The plain
loop takes the questions in the order of the dataset; once with the adapter as it is loaded, once merged.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trl import ModelConfig

from recipes.core.config.config import load_config
from recipes.core.config.stage import RunArguments
from recipes.core.data.questions import load_questions
from recipes.core.distillation.select_traces import TraceArguments
from recipes.core.generation.collect import SamplingJob, collect_samples
from recipes.core.generation.samplers import SamplerArguments, TransformersSampler
from recipes.core.generation.sampling import SamplingArguments, batches
from recipes.core.models.loading import load_kwargs, load_model
from recipes.core.prompts.messages import render_prompt
from recipes.core.prompts.tokenizer import load_tokenizer
from recipes.generate import GenerateArguments, key
from rewards import get_reward

ROUNDS = 3
DEFAULTS = ["--max_train_samples", "512", "--num_generations", "4", "--batch_size", "256"]


def main() -> None:
    kinds = (GenerateArguments, SamplingArguments, ModelConfig)
    argv = [*DEFAULTS, *sys.argv[1:]]
    argv = argv if "--config" in argv else ["--config", "recipes/arithmetic/generate.yaml", *argv]
    config = load_config(
        "generate", *kinds, RunArguments, SamplerArguments, TraceArguments, argv=argv
    )
    args, sampling, model_args = (config.parse(cls) for cls in kinds)
    name = model_args.model_name_or_path or "recipes/arithmetic/models/base"
    questions = load_questions(args, args.dataset_train_split, args.max_train_samples)

    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        plain = AutoModelForCausalLM.from_pretrained(name, **load_kwargs(model_args))
        get_peft_model(plain, LoraConfig(r=16, target_modules="all-linear")).save_pretrained(folder)
        tokenizer = load_tokenizer(name, args.chat_template)
        adapter = AutoModelForCausalLM.from_pretrained(folder, **load_kwargs(model_args))
        merged = load_model(folder, model_args)
        judges = {"verdict": get_reward("accuracy"), "format": get_reward("format")}
        keys = [key(row) for row in questions]
        sides: dict[str, list[float]] = {
            "ours": [],
            "plain loop, adapter": [],
            "plain loop, merged": [],
        }
        lengths: list[int] = []
        for number in range(ROUNDS + 1):
            wanted = SamplingJob(
                questions,
                keys,
                sampling,
                judges,
                Path(folder, f"{number}.jsonl"),
                number,
                args.batch_size,
            )
            rows, measured = collect_samples(TransformersSampler(merged, tokenizer), wanted, "ours")
            speeds = [measured["tokens_per_second"]]
            speeds += [
                loop(model, tokenizer, questions, sampling, args.batch_size, number)
                for model in (adapter, merged)
            ]
            if number:  # the first round warms everything up
                lengths = sorted(row["tokens"] for row in rows)
                for side, speed in zip(sides, speeds, strict=True):
                    sides[side].append(speed)
    tenths = [lengths[round(place * (len(lengths) - 1) / 10)] for place in (0, 1, 5, 9, 10)]
    lines = [
        f"{len(questions)} questions x {sampling.num_generations}, batch {args.batch_size}, {name}"
    ]
    lines.append(f"completions: shortest, 10 %, median, 90 % and longest of {tenths} tokens")
    ours = statistics.median(sides["ours"])
    for side, measured_speeds in sides.items():
        speed = statistics.median(measured_speeds)
        spread = f"{min(measured_speeds):.0f} to {max(measured_speeds):.0f}"
        lines.append(
            f"{side}: {speed:.0f} tokens/s ({spread}); ours is {ours / speed:.2f} times as fast"
        )
    sys.stdout.write("\n".join(lines) + "\n")


def loop(
    model: Any,
    tokenizer: Any,
    questions: Any,
    sampling: SamplingArguments,
    batch_size: int,
    seed: int,
) -> float:
    """Tokens per second of the plain loop."""
    import torch

    torch.manual_seed(seed)
    texts = [
        render_prompt(tokenizer, prompt)
        for prompt in questions["prompt"]
        for _ in range(sampling.num_generations)
    ]
    tokens, started = 0, time.perf_counter()
    for batch in batches(len(texts), batch_size):
        inputs = tokenizer(
            [texts[index] for index in batch],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        with torch.inference_mode():
            output = model.generate(
                **inputs.to(model.device),
                max_new_tokens=sampling.max_completion_length,
                do_sample=True,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
            )
        completions = output[:, inputs["input_ids"].shape[1] :]
        tokenizer.batch_decode(completions, skip_special_tokens=True)
        tokens += int((completions != tokenizer.pad_token_id).sum())
    return tokens / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
