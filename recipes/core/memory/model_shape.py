"""The shape of a decoder: the element counts that determine how much memory it needs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PretrainedConfig

# Integers in the config of every supported decoder (Llama, Mistral, Qwen); GPT-2's lacks them.
DECODER_KEYS = ("num_key_value_heads", "intermediate_size")


@dataclass(frozen=True)
class ModelShape:
    """A decoder as it is trained; every number is a count of elements."""

    parameters: int  # without adapters
    trainable: int  # of these parameters, or of the adapters
    embedding: int  # the token embedding
    linear: int  # all linear layers except the head: what load_in_4bit quantises
    adapted: int  # summed input sizes of a layer's adapted linear maps; 0: full fine-tuning
    ranks: int  # summed ranks of a layer's adapters
    trains_head: bool
    qk_norm: bool  # queries and keys are normalised, as in Qwen3
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int

    @property
    def queries(self) -> int:
        """Elements of one token's queries, over all heads."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Elements of one token's keys, over all heads; its values have as many."""
        return self.kv_heads * self.head_dim


def model_shape(config: "PretrainedConfig", adapters: "PeftConfig | None" = None) -> ModelShape:
    """The shape of this config's model, trained in full or through `adapters`.

    The model is built on the meta device, so no weights are loaded or allocated.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.modeling_utils import set_zero3_state

    # set_zero3_state keeps ZeRO-3 from partitioning this model, as it does with any new one.
    with set_zero3_state(), torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)

        # Counts of the base model, before adapters wrap its linear layers.
        parameters = model.num_parameters()
        head = model.get_output_embeddings()
        linear = 0
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and module is not head:
                linear += module.weight.numel()

        if adapters is not None:
            from peft import get_peft_model

            model = get_peft_model(model, adapters)

    # Counts of the model as it is trained. One lora_A exists for each adapted linear map.
    modules = dict(model.named_modules())
    lora = [module for name, module in modules.items() if name.endswith(".lora_A.default")]
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)

    text = config.get_text_config()
    layers = text.num_hidden_layers
    # Qwen2's config has no head_dim.
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return ModelShape(
        parameters=parameters,
        trainable=trainable,
        embedding=model.get_input_embeddings().weight.numel(),
        linear=linear,
        adapted=sum(module.in_features for module in lora) // layers,
        ranks=sum(module.out_features for module in lora) // layers,
        trains_head=head.weight.requires_grad,
        qk_norm=any(name.endswith(".q_norm") for name in modules),
        layers=layers,
        hidden=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_dim=head_dim,
        intermediate=text.intermediate_size,
        vocabulary=text.vocab_size,
    )
