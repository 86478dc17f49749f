"""The shape of a decoder: the element counts that decide how much memory it needs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PretrainedConfig


DECODER_KEYS = (
    "num_key_value_heads",
    "intermediate_size",
)  # numbers that the config of a decoder of this kind has, and GPT-2's lacks


@dataclass(frozen=True)
class ModelShape:
    """A decoder as it is trained; every number is a count of elements."""

    parameters: int  # without adapters
    trainable: int
    embedding: int  # the tokens' embedding
    linear: int  # linear maps but the head: what is quantised
    adapted: int  # inputs of a layer's adapted linear maps, summed; 0: all weights are trained
    ranks: int  # of a layer's adapters, summed
    trains_head: bool
    qk_norm: bool  # queries and keys are normalised, as in Qwen3
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int


def model_shape(config: "PretrainedConfig", adapters: "PeftConfig | None" = None) -> ModelShape:
    """The shape of the model of this config, trained through `adapters` if any; made on the meta device, so nothing is loaded."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.modeling_utils import set_zero3_state

    text = config.get_text_config()
    with (
        set_zero3_state(),
        torch.device("meta"),
    ):  # the former undoes what ZeRO-3 does to every model that is made
        model: Any = AutoModelForCausalLM.from_config(config)
        head, parameters = model.get_output_embeddings(), model.num_parameters()
        linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
        sizes = sum(m.weight.numel() for m in linear)
        if adapters is not None:
            from peft import get_peft_model

            model = get_peft_model(model, adapters)
    lora = [m for name, m in model.named_modules() if name.endswith(".lora_A.default")]
    return ModelShape(
        parameters=parameters,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        embedding=model.get_input_embeddings().weight.numel(),
        linear=sizes,
        adapted=sum(m.in_features for m in lora) // text.num_hidden_layers,
        ranks=sum(m.out_features for m in lora) // text.num_hidden_layers,
        trains_head=head.weight.requires_grad,
        qk_norm=any(name.endswith(".q_norm") for name, _ in model.named_modules()),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_dim=getattr(text, "head_dim", None)
        or text.hidden_size // text.num_attention_heads,  # Qwen2 does not say it
        intermediate=text.intermediate_size,
        vocabulary=text.vocab_size,
    )
