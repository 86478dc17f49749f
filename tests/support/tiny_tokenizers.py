"""A byte-level tokenizer like those of Llama and Gemma: any text, with or without a BOS token."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")


def save_byte_tokenizer(folder: Path, bos: bool = True, template: str | None = None) -> Path:
    """Saves the tokenizer. With `bos` it begins every text with its BOS token."""
    # Every byte is a token, and so is every special token.
    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL))
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<bos> $A",
            pair="<bos> $A $B",
            special_tokens=[("<bos>", vocabulary["<bos>"])],
        )

    # GPT-2's and SmolLM2's have a BOS token, too, but do not use it.
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder
