"""Pretrains the two small base models that this recipe ships: they can reason, but rarely do.

    python -m recipes.arithmetic.pretrain [--output_dir FOLDER] [--only base] [--steps 4000]

A language model is pretrained from scratch on documents about the training questions. Most of them
only state an answer, half of the time a wrong one; some work it out in plain text, and a few do so
inside the tags; a step is wrong now and then. Like a base model's web text, this contains the
ability to reason without the habit.
"""

import argparse
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.arithmetic.dataset import Factors, products
from rewards.completion import TAGS, tagged

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

CHARACTERS = list("0123456789+*= ")

# These models see a question as "23*7+45=", and end their turn with the end-of-sequence token.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role == 'user' -%}{{ message.content + '=' }}"
    "{%- elif message.role == 'assistant' -%}{{ message.content + eos_token }}{%- endif -%}"
    "{%- endfor -%}"
)


@dataclass(frozen=True)
class ModelSize:
    """The architecture of a base model, and how long it is pretrained."""

    hidden_size: int
    layers: int
    heads: int
    steps: int
    documents_per_step: int = 64
    learning_rate: float = 3e-3


SIZES = {
    "base": ModelSize(hidden_size=96, layers=4, heads=4, steps=4000),
    "student_base": ModelSize(hidden_size=56, layers=3, heads=4, steps=1000),
}

# Fractions of the documents that reason; the others only state an answer.
IN_TAGS = 0.2
IN_PLAIN_TEXT = 0.25

# How often a step of the reasoning is wrong, and an answer without reasoning.
WRONG_STEP = 0.08
WRONG_ANSWER = 0.5
ERRORS = (-10, -2, -1, 1, 2, 10)  # added to the right value


def make_document(rng: random.Random, factors: list[Factors]) -> tuple[str, str]:
    """A question and its continuation in the corpus."""
    a, b = rng.choice(factors)
    c = rng.randrange(1, 10)
    question = f"{a}*{b}+{c}="
    kind = rng.random()
    if kind >= IN_TAGS + IN_PLAIN_TEXT:
        return question, str(_perturb(rng, a * b + c, WRONG_ANSWER))

    # The product of the tens and that of the ones, their sum, and then c.
    tens = a // 10 * 10
    ones = a % 10
    first = _perturb(rng, tens * b, WRONG_STEP)
    second = _perturb(rng, ones * b, WRONG_STEP)
    both = _perturb(rng, first + second, WRONG_STEP)
    result = _perturb(rng, both + c, WRONG_STEP)
    working = f"{tens}*{b}={first} {ones}*{b}={second} {first}+{second}={both} {both}+{c}={result}"
    if kind < IN_TAGS:
        return question, tagged(working, str(result))
    return question, f"{working} {result}"


def _perturb(rng: random.Random, value: int, probability: float) -> int:
    """`value`, or with this probability a wrong one."""
    if rng.random() >= probability:
        return value
    return max(1, value + rng.choice(ERRORS))


def make_tokenizer() -> "PreTrainedTokenizerFast":
    """A tokenizer in which every character and every tag is one token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # The vocabulary is complete: no text of this recipe has another character.
    # The tags are no special tokens: TRL drops those from completions.
    vocabulary = ["<pad>", "<eos>", *TAGS, *CHARACTERS]
    tokenizer = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="<pad>")
    )

    # Tags are split off whole, everything else character by character.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex("|".join([*TAGS, r"[\s\S]"])), behavior="isolated"
    )
    tokenizer.decoder = decoders.Fuse()

    # transformers' wrapper, with the special tokens and the chat template.
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(size: ModelSize, tokenizer: "PreTrainedTokenizerFast") -> "LlamaForCausalLM":
    """An untrained Llama of this size."""
    from transformers import LlamaConfig, LlamaForCausalLM

    # The proportions of Llama, at a thousandth of its size.
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden_size,
        intermediate_size=size.hidden_size * 8 // 3,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def pretrain(name: str, size: ModelSize, output_dir: Path, seed: int) -> None:
    """Pretrains one model with transformers' Trainer and saves it to `output_dir`/`name`."""
    from datasets import Dataset
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments, set_seed

    set_seed(seed)
    rng = random.Random(seed)

    # The corpus: documents about training questions only.
    tokenizer = make_tokenizer()
    train_factors, _ = products()
    documents = []
    for _ in range(size.steps * size.documents_per_step):
        question, text = make_document(rng, train_factors)
        documents.append(question + text + tokenizer.eos_token)
    ids = tokenizer(documents, return_token_type_ids=False)
    corpus = Dataset.from_dict({"input_ids": ids["input_ids"], "labels": ids["input_ids"]})

    # One pass over it.
    model = make_model(size, tokenizer)
    arguments = TrainingArguments(
        output_dir=str(output_dir / name / "training"),
        per_device_train_batch_size=size.documents_per_step,
        num_train_epochs=1,
        learning_rate=size.learning_rate,
        adam_beta2=0.98,
        weight_decay=0.05,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.05},
        warmup_steps=100,
        logging_steps=100,
        save_strategy="no",
        report_to="none",
        seed=seed,
    )
    collator = DataCollatorForSeq2Seq(tokenizer)
    Trainer(model=model, args=arguments, train_dataset=corpus, data_collator=collator).train()

    # Half precision halves the size; the recipes load the models as float32.
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.half().save_pretrained(output_dir / name)
    tokenizer.save_pretrained(output_dir / name)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output_dir", type=Path, default=Path(__file__).parent / "models")
    parser.add_argument("--only", choices=list(SIZES), help="make one of the two")
    parser.add_argument(
        "--steps",
        type=int,
        help="pretraining steps (default: 4000 for base, 1000 for student_base)",
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    # Both models, or the one that was asked for; each has the same weights either way.
    for name, size in SIZES.items():
        if options.only in (None, name):
            chosen = ModelSize(**vars(size) | {"steps": options.steps or size.steps})
            pretrain(name, chosen, options.output_dir, options.seed)


if __name__ == "__main__":
    main()
