"""The keys that save memory work where docs/memory.md states it, with every accelerate config."""

from types import SimpleNamespace

import pytest

from recipes.core.errors import UserError
from recipes.core.preflight.model import check_memory_keys
from tests.support.commands import ROOT, ok, run

CONFIGS = ("cpu", "ddp", "zero2", "zero3", "fsdp2")
LORA = ("--use_peft", "true", "--lora_target_modules", "all-linear")
KEYS = {
    "LoRA, `load_in_4bit` (QLoRA)": (*LORA, "--load_in_4bit", "--use_bnb_nested_quant"),
    "LoRA, `load_in_8bit`": (*LORA, "--load_in_8bit"),
    "LoRA, `gradient_checkpointing`": (*LORA, "--gradient_checkpointing", "true"),
    "`gradient_checkpointing`": ("--gradient_checkpointing", "true"),
    "`optim: adamw_bnb_8bit`": ("--optim", "adamw_bnb_8bit"),
    "`optim: paged_adamw_8bit`": ("--optim", "paged_adamw_8bit"),
    "`bf16: true`": ("--bf16", "true"),
    "`activation_offloading`": ("--activation_offloading",),
}
# Messages of the combinations that do not work on the CPU of the tests. All others train.
NO_GPU = "activation_offloading: there is no GPU"
NO_BF16 = "Your setup doesn't support bf16/gpu"  # from transformers
REFUSED = {
    ("LoRA, `load_in_8bit`", "fsdp2"): "load_in_8bit: does not work with fsdp2",
    ("`optim: adamw_bnb_8bit`", "fsdp2"): "optim: adamw_bnb_8bit does not work with fsdp2",
    ("`optim: paged_adamw_8bit`", "fsdp2"): "optim: paged_adamw_8bit does not work with fsdp2",
    ("`bf16: true`", "zero2"): NO_BF16,
    ("`bf16: true`", "zero3"): NO_BF16,
    **{("`activation_offloading`", config): NO_GPU for config in CONFIGS},
}


def table_cell(name, config):
    """What the table of docs/memory.md must contain for these keys and this accelerate config."""
    message = REFUSED.get((name, config))
    if message is None:
        return "tested"
    return "untested" if message in (NO_GPU, NO_BF16) else "refused"


def test_the_table_in_the_docs_is_what_is_tested():
    table = {}
    for line in (ROOT / "docs" / "memory.md").read_text().splitlines():
        if line.startswith(("| LoRA,", "| `")):
            name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            table[name] = cells
    for name in KEYS:
        assert table[name] == [table_cell(name, config) for config in CONFIGS], name


@pytest.mark.parametrize(
    ("distributed", "changed", "message"),
    [
        ("FSDP", {"load_in_8bit": True}, "load_in_8bit: does not work with fsdp2"),
        ("FSDP", {"optim": "adamw_bnb_8bit"}, "optim: adamw_bnb_8bit does not work with fsdp2"),
        ("FSDP", {"optim": "paged_adamw_8bit"}, "paged_adamw_8bit does not work with fsdp2"),
        ("DEEPSPEED", {"activation_offloading": True}, NO_GPU),
        ("FSDP", {"load_in_4bit": True}, None),
        ("DEEPSPEED", {"load_in_8bit": True, "optim": "adamw_bnb_8bit"}, None),
    ],
)
def test_keys_that_do_not_work_are_refused_before_training(
    monkeypatch, distributed, changed, message
):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv(f"ACCELERATE_USE_{distributed}", "true")
    keys = {"optim": "adamw_torch", "load_in_4bit": False, "load_in_8bit": False} | changed
    arguments = SimpleNamespace(**keys)
    if message is None:
        check_memory_keys(arguments, arguments)
    else:
        with pytest.raises(UserError, match=message):
            check_memory_keys(arguments, arguments)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", KEYS)
def test_keys_that_save_memory_train_or_are_refused_in_one_line(tmp_path, traces, name, config):
    done = run(
        *("bash", "launch.sh", "sft", "recipes/arithmetic/sft.yaml"),
        *("--accelerate", config, "--num-processes", 1 if config == "cpu" else 2),
        *("--output_dir", tmp_path, "--traces", traces),
        *("--per_device_train_batch_size", 8, "--max_steps", 2),
        *KEYS[name],
    )
    message = REFUSED.get((name, config))
    if message:
        assert done.returncode == 2 and message in done.stderr
    else:
        assert next((tmp_path / "student").glob("*.safetensors")), ok(done)
