"""The keys that save memory, with every accelerate config: what the README's table says is what happens."""

import pytest

from tests.support.commands import ROOT, ok, run

SFT = "recipes/arithmetic/sft.yaml"
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
# What does not work on the CPU of the tests, and the message. All other cells do.
REFUSED = {
    ("LoRA, `load_in_8bit`", "fsdp2"): "load_in_8bit: does not work with fsdp2",
    ("`optim: adamw_bnb_8bit`", "fsdp2"): "optim: adamw_bnb_8bit does not work with fsdp2",
    ("`optim: paged_adamw_8bit`", "fsdp2"): "optim: paged_adamw_8bit does not work with fsdp2",
    ("`bf16: true`", "zero2"): "Your setup doesn't support bf16/gpu",  # transformers, without a GPU
    ("`bf16: true`", "zero3"): "Your setup doesn't support bf16/gpu",
    **{
        ("`activation_offloading`", config): "activation_offloading: there is no GPU"
        for config in CONFIGS
    },
}
WORDS = {"does not work": "refused", "there is no GPU": "untested", "bf16/gpu": "untested"}


def test_the_table_in_the_readme_is_what_is_tested():
    rows = [
        line.strip("|").split("|")
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("| LoRA,")
    ]
    rows += [
        line.strip("|").split("|")
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    table = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    for name in KEYS:
        expected = [
            next(
                (word for part, word in WORDS.items() if part in REFUSED.get((name, config), "")),
                "tested",
            )
            for config in CONFIGS
        ]
        assert table[name] == expected, name


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", KEYS)
def test_keys_that_save_memory_train_or_are_refused_in_one_line(tmp_path, traces, name, config):
    processes = 1 if config == "cpu" else 2
    keys = (
        "--output_dir",
        tmp_path,
        "--traces",
        traces,
        "--per_device_train_batch_size",
        8,
        "--max_steps",
        2,
        *KEYS[name],
    )
    done = run(
        "bash", "launch.sh", "sft", SFT, "--accelerate", config, "--num-processes", processes, *keys
    )
    if message := REFUSED.get((name, config)):
        assert done.returncode == 2 and message in done.stderr
    else:
        assert next((tmp_path / "student").glob("*.safetensors")), ok(done)
