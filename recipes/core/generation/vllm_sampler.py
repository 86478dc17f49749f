"""A teacher that vLLM runs on this machine: the same model, prompts and settings as the transformers teacher, batched by vLLM."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError
from recipes.core.files import Row
from recipes.core.generation.sampling import Completion, SamplingArguments
from recipes.core.models.loading import adapter_base, load_model, weight_dtype
from recipes.core.prompts.messages import prefilled_text, render_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import ModelConfig
    from vllm import LLM

    from recipes.core.generation.samplers import SamplerArguments

logger = logging.getLogger(__name__)


class VLLMSampler:
    """A folder with full weights, a folder with a LoRA adapter, or a hub id, in vLLM's offline engine.

    Every sample has a seed of its own, made of the batch's seed, the question and the sample's number: it does not depend on what
    else is drawn, except for what rounding does to a near tie. A prompt that leaves no room for a whole completion, and a
    model that vLLM cannot load, raise `UserError`.
    """

    whole_batches = False

    def __init__(
        self,
        name: str,
        model_args: "ModelConfig",
        tokenizer: "PreTrainedTokenizerBase",
        args: "SamplerArguments",
    ) -> None:
        self.tokenizer = tokenizer
        # With the engine in this process, its schedule, and with it the rounding, is the same in every run.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        logger.info("vLLM loads %s; VLLM_LOGGING_LEVEL=INFO says more", name)
        with tempfile.TemporaryDirectory() as folder:  # needed until the weights are in memory
            path = merge_adapter(name, model_args, folder) if adapter_base(name) else name
            self.llm = load_engine(path, model_args, args)

    def answer(
        self, rows: Sequence[Row], args: SamplingArguments, seed: int
    ) -> list[Completion | None]:
        from vllm import SamplingParams

        # Tokens go in and tokens come out, so that text is made and read in one place: by the project's tokenizer.
        prompts = [
            self.tokenizer(render_prompt(self.tokenizer, row["prompt"]), add_special_tokens=False)[
                "input_ids"
            ]
            for row in rows
        ]
        limit, longest = self.llm.llm_engine.model_config.max_model_len, max(map(len, prompts))
        if longest + args.max_completion_length > limit:
            raise UserError(
                f"a prompt of {longest} tokens and a completion of {args.max_completion_length} do not fit into {limit} tokens "
                "(vllm_max_model_length, or the model's own limit); lower max_prompt_length or max_completion_length"
            )
        settings: dict[str, Any] = {
            "temperature": args.temperature,
            "top_p": args.top_p,
            "top_k": args.top_k,
            "max_tokens": args.max_completion_length,
            "stop_token_ids": [
                self.tokenizer.eos_token_id
            ],  # vLLM adds those of the model's generation_config.json
            "detokenize": False,
        }
        params = [SamplingParams(**settings, seed=_seed(seed, row)) for row in rows]
        drawn = self.llm.generate(
            [{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False
        )
        prefix = prefilled_text(self.tokenizer)
        return [self._completion(prefix, request.outputs[0]) for request in drawn]

    def _completion(self, prefix: str, output: Any) -> Completion:
        text = str(self.tokenizer.decode(list(output.token_ids), skip_special_tokens=True))
        return Completion(prefix + text, len(output.token_ids), output.finish_reason == "stop")


def merge_adapter(name: str, model_args: "ModelConfig", folder: str) -> str:
    """Writes the adapter `name`, merged into its base, to `folder`, and returns that.

    vLLM can apply an adapter itself, but only of the ranks and kinds that it knows, and at three matrix products a layer. Merged as
    the other stages do it, the teacher is the model that they evaluate.
    """
    from accelerate.utils.memory import clear_device_cache

    model = load_model(name, model_args)
    model.save_pretrained(folder)
    del model
    clear_device_cache(
        garbage_collection=True
    )  # vLLM takes its share of what is free when it starts
    return folder


def load_engine(path: str, model_args: "ModelConfig", args: "SamplerArguments") -> "LLM":
    from vllm import LLM

    dtype: Any = weight_dtype(model_args)  # a plain string to us
    try:
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
        raise UserError(
            f"teacher: vllm cannot load the model: {' '.join(str(error).split())[:400]}"
        ) from error


def _seed(seed: int, row: Row) -> int:
    return int.from_bytes(
        hashlib.sha256(f"{seed} {row['key']} {row['sample']}".encode()).digest()[:4]
    )
