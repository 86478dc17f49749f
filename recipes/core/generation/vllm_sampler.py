"""Samples from a model on this machine with vLLM's offline engine.

Prompts, settings and weights are those of the transformers sampler; vLLM batches them.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from recipes.core.errors import UserError, one_line
from recipes.core.generation.sampling import SamplingArguments
from recipes.core.generation.types import Completion
from recipes.core.models.loading import adapter_base, load_model, weight_dtype
from recipes.core.prompts import lacks_special_tokens, prefilled_text, render_prompt

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from trl import ModelConfig
    from vllm import LLM

    from recipes.core.generation.samplers import SamplerArguments

logger = logging.getLogger(__name__)


class VLLMSampler:
    """A folder with full weights, a folder with a LoRA adapter, or a hub id.

    Every sample has a seed of its own, made of the batch's seed, the question and the sample's
    index: it does not depend on what else is sampled, except where rounding decides a near tie.
    """

    batch_dependent = False

    def __init__(
        self,
        name: str,
        model_args: "ModelConfig",
        tokenizer: "PreTrainedTokenizerBase",
        args: "SamplerArguments",
    ) -> None:
        self.tokenizer = tokenizer
        self.metadata: dict[str, Any] = {"model": name, "template": tokenizer.chat_template}
        # With the engine in this process, its schedule and its rounding are the same in every run.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        logger.info("vLLM loads %s; set VLLM_LOGGING_LEVEL=INFO for details", name)

        # The merged weights are needed until the engine has read them.
        with tempfile.TemporaryDirectory() as folder:
            path = merge_adapter(name, model_args, folder) if adapter_base(name) else name
            self.llm = load_engine(path, model_args, args)

    def sample(
        self, rows: Sequence[Mapping[str, Any]], args: SamplingArguments, seed: int
    ) -> list[Completion | None]:
        """One completion of each row's `prompt`.

        Raises `UserError` if a prompt leaves no room for a whole completion.
        """
        from vllm import SamplingParams

        # Tokens go in and come out, so that only the project's tokenizer reads and writes text.
        prompts = []
        for row in rows:
            text = render_prompt(self.tokenizer, row["prompt"])
            plain = lacks_special_tokens(row["prompt"])
            prompts.append(self.tokenizer(text, add_special_tokens=plain)["input_ids"])
        self._check_lengths(prompts, args.max_completion_length)

        # The settings of the transformers sampler, and a seed for each sample.
        settings: dict[str, Any] = {
            "temperature": args.temperature,
            "top_p": args.top_p,
            "top_k": args.top_k,
            "max_tokens": args.max_completion_length,
            "stop_token_ids": [self.tokenizer.eos_token_id],  # beside those of the model's config
            "detokenize": False,
        }
        params = [SamplingParams(**settings, seed=sample_seed(seed, row)) for row in rows]
        inputs = [{"prompt_token_ids": ids} for ids in prompts]
        requests = self.llm.generate(inputs, params, use_tqdm=False)

        # The prompt may already contain the beginning of the reply.
        prefix = prefilled_text(self.tokenizer, rows[0]["prompt"])
        return [self._to_completion(request.outputs[0], prefix) for request in requests]

    def first_prompt(self, questions: "Dataset") -> str:
        """The first prompt as text."""
        return render_prompt(self.tokenizer, questions[0]["prompt"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del self.llm

    def _check_lengths(self, prompts: list[list[int]], max_completion_length: int) -> None:
        limit = self.llm.llm_engine.model_config.max_model_len
        longest = max(map(len, prompts))
        if longest + max_completion_length > limit:
            raise UserError(
                f"a prompt of {longest} tokens and a completion of {max_completion_length} do not "
                f"fit into {limit} tokens (vllm_max_model_length, or the model's own limit); "
                "lower max_prompt_length or max_completion_length"
            )

    def _to_completion(self, output: Any, prefix: str) -> Completion:
        ids = list(output.token_ids)
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True))
        return Completion(prefix + text, len(ids), output.finish_reason == "stop")


def merge_adapter(name: str, model_args: "ModelConfig", folder: str) -> str:
    """Writes the adapter `name`, merged into its base, to `folder`, and returns `folder`.

    vLLM can apply an adapter itself, but only of some ranks and kinds, and with three matrix
    products a layer. Merged like in all other stages, the teacher is the model they evaluate.
    """
    from accelerate.utils.memory import clear_device_cache

    model = load_model(name, model_args)
    model.save_pretrained(folder)
    del model
    clear_device_cache(garbage_collection=True)  # vLLM takes its share of what is free at its start
    return folder


def load_engine(path: str, model_args: "ModelConfig", args: "SamplerArguments") -> "LLM":
    """vLLM's engine; raises `UserError` if it cannot load the model."""
    from vllm import LLM

    dtype: Any = weight_dtype(model_args)  # a plain string to us
    try:
        # Prompts go in as token ids and come out as ids: transformers has the one tokenizer.
        return LLM(
            path,
            revision=model_args.model_revision,
            dtype=dtype,
            skip_tokenizer_init=True,
            gpu_memory_utilization=args.vllm_gpu_memory_utilization,
            tensor_parallel_size=args.vllm_tensor_parallel_size,
            max_model_len=args.vllm_max_model_length,
        )
    except (OSError, ValueError) as error:
        raise UserError(f"teacher: vllm cannot load the model: {one_line(error, 400)}") from error


def sample_seed(seed: int, row: Mapping[str, Any]) -> int:
    """The seed of one sample, made of the batch's seed and the sample's identity."""
    text = f"{seed} {row['question_id']} {row['sample_index']}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
