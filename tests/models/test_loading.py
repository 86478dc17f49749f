"""The dtype of weights that are trained."""

import pytest

from recipes.core.models.loading import training_dtype, weight_dtype


@pytest.mark.parametrize(
    ("dtype", "use_peft", "sharded", "expected"),
    [
        (
            None,
            False,
            None,
            "float32",
        ),  # bfloat16 holds 3 digits: AdamW's steps would be rounded away
        (None, False, "DEEPSPEED", "bfloat16"),  # which trains a copy in float32
        (None, False, "FSDP", "bfloat16"),  # the same
        (None, True, None, "bfloat16"),  # peft makes the adapters float32
        ("bfloat16", False, None, "bfloat16"),  # as asked for
    ],
)
def test_on_a_gpu_full_weights_are_trained_in_float32_unless_something_else_keeps_a_copy(
    monkeypatch, dtype, use_peft, sharded, expected
):
    import torch
    from trl import ModelConfig

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    for kind in ("DEEPSPEED", "FSDP"):
        monkeypatch.setenv(f"ACCELERATE_USE_{kind}", str(sharded == kind).lower())
    model_args = ModelConfig(dtype=dtype, use_peft=use_peft)
    assert training_dtype(model_args) == expected
    assert weight_dtype(model_args) == "bfloat16"  # for inference


def test_most_steps_of_adamw_are_lost_on_weights_in_bfloat16():
    import torch

    moved = {}
    for dtype in (torch.float32, torch.bfloat16):
        weight = torch.nn.Parameter(
            (0.03 * torch.randn(10000, generator=torch.Generator().manual_seed(0))).to(dtype)
        )
        before, optimizer = (
            weight.detach().clone(),
            torch.optim.AdamW([weight], lr=2e-5, weight_decay=0.0),
        )
        for _ in range(20):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        moved[dtype] = (weight.detach() != before).float().mean().item()
    assert (
        moved[torch.float32] == 1.0 and moved[torch.bfloat16] < 0.5
    )  # why `training_dtype` is what it is
