"""Keys that other versions and other tools have, and what to write here."""

# Keys that TRL, transformers or this repository renamed or removed, and what to write today.
RENAMED_KEYS = {
    # TRL and transformers
    "torch_dtype": "write `dtype`",
    "max_seq_length": "write `max_length`",
    "overwrite_output_dir": (
        "a run resumes by itself; write `resume_from_checkpoint: false` to start from scratch"
    ),
    "evaluation_strategy": "write `eval_strategy`",
    "vllm_importance_sampling_cap": "write `vllm_importance_sampling_clip_max`",
    "use_transformers_paged": "write `use_transformers_continuous_batching`",
    "max_new_tokens": "write `max_completion_length`",
    "num_samples": "write `num_generations`",
    "max_steps_per_generation": "write `steps_per_generation`",
    "no_cuda": "write `use_cpu`",
    "tokenizer_name_or_path": "the tokenizer is read from `model_name_or_path`",
    # this repository
    "verdict": "write `correctness_reward`",
    "resume_anyway": "write `resume_despite_changes`",
    "short_share": "write `short_fraction`",
    "distillation": "on-policy distillation is a stage: run `on_policy` with its own YAML",
    "on_policy": "on-policy distillation is a stage: write these keys to on_policy.yaml",
}

# Keys of TRL's YAMLs that work under another name.
ALIASES = {"warmup_ratio": "warmup_steps"}  # a fraction of the steps is below 1

_ACCELERATE = "write `--accelerate zero2`, or another of accelerate_configs/, after ./launch.sh"
_DEEPSPEED = "write `--accelerate zero2` or `--accelerate zero3` after ./launch.sh"
_FSDP = "write `--accelerate fsdp2` after ./launch.sh"

# Keys that TRL knows, and that would fail or do nothing here if they were set.
REFUSED_KEYS = {
    "deepspeed": _DEEPSPEED,
    "fsdp": _FSDP,
    "fsdp_config": _FSDP,
    "dataset_streaming": "questions are read whole; leave it out",
}

_ONE_DATASET = "a stage reads one dataset; write `dataset_name`, and `eval_sets` to evaluate others"
_MASTER = "write `--master HOST:PORT` after ./launch.sh"
_HUB = "write `push_to_hub`, `hub_model_id` and `hub_revision`"
_COSINE = (
    "write it in the reward's entry: {name: cosine, max_tokens: 1024, min_value_wrong: -1.0, ...}"
)
_REPETITION = "write it in the reward's entry: {name: repetition, weight: 1.0, ngram_words: 4}"
_CODE = "programs run in this machine's sandbox; write the reward's entry {name: code}"
_OVERLONG = "write the reward's entry {name: overlong, max_tokens: 1280, cache_tokens: 256}"
_MODEL = "write `model_name_or_path`"
_UNUSED = "leave it out"

# Keys of tools whose YAMLs look like ours.
FOREIGN_KEYS = {
    # accelerate, to which `trl grpo` hands these
    "num_processes": "write `--num-processes N` after ./launch.sh",
    "num_machines": "write `--nodes N` after ./launch.sh",
    "machine_rank": "write `--node-rank R` after ./launch.sh",
    "main_process_ip": _MASTER,
    "main_process_port": _MASTER,
    "accelerate_config": _ACCELERATE,
    "config_file": _ACCELERATE,
    "distributed_type": _ACCELERATE,
    "use_deepspeed": _DEEPSPEED,
    "deepspeed_config": _DEEPSPEED,
    "deepspeed_config_file": _DEEPSPEED,
    "zero_stage": _DEEPSPEED,
    "use_fsdp": _FSDP,
    "mixed_precision": "write `bf16: true` or `fp16: true`",
    "gpu_ids": "set CUDA_VISIBLE_DEVICES",
    # TRL's mixtures
    "datasets": _ONE_DATASET,
    "dataset_mixture": _ONE_DATASET,
    "streaming": "questions are read whole; leave it out",
    "test_split_size": "write the two parts as `dataset_train_split` and `dataset_test_split`",
    # open-r1
    "dataset_prompt_column": "write `question_column`",
    "dataset_solution_column": "write `answer_column`",
    "cosine_min_value_wrong": _COSINE,
    "cosine_max_value_wrong": _COSINE,
    "cosine_min_value_correct": _COSINE,
    "cosine_max_value_correct": _COSINE,
    "cosine_max_len": _COSINE,
    "repetition_n_grams": _REPETITION,
    "repetition_max_penalty": _REPETITION,
    "code_language": _CODE,
    "code_provider": _CODE,
    "code_eval_test_batch_size": _CODE,
    "code_eval_scoring_mode": _CODE,
    "parallel_code_exec_per_proc": _CODE,
    "e2b_router_url": _CODE,
    "morph_router_url": _CODE,
    "ioi_provider": _CODE,
    "max_completion_len": _OVERLONG,
    "soft_punish_cache": _OVERLONG,
    "benchmarks": "run the stage `evaluate` afterwards",
    "callbacks": _UNUSED,
    "hub_model_revision": "write `hub_revision`",
    "overwrite_hub_revision": _HUB,
    "push_to_hub_revision": _HUB,
    "wandb_entity": "write `env: {WANDB_ENTITY: ...}`",
    "wandb_project": "write `env: {WANDB_PROJECT: ...}`",
    "wandb_run_group": "write `env: {WANDB_RUN_GROUP: ...}`",
    "wandb_log_unique_prompts": "write `log_unique_prompts`",
    # earlier versions of TRL and transformers
    "use_liger": "write `use_liger_kernel`",
    "use_liger_loss": "write `use_liger_kernel`",
    "vllm_device": "write `--vllm server` or `--vllm colocate` after ./launch.sh",
    "vllm_dtype": _UNUSED,
    "vllm_max_model_len": "write `vllm_max_model_length`",
    "vllm_guided_decoding_regex": "write `vllm_structured_outputs_regex`",
    "group_by_length": "write `train_sampling_strategy: group_by_length`",
    "per_gpu_train_batch_size": "write `per_device_train_batch_size`",
    "per_gpu_eval_batch_size": "write `per_device_eval_batch_size`",
    "push_to_hub_model_id": "write `hub_model_id`",
    "push_to_hub_token": "write `hub_token`",
    "save_safetensors": "weights are always saved as safetensors; leave it out",
    "logging_dir": "write `env: {TENSORBOARD_LOGGING_DIR: ...}`",
    # what people write
    "model": _MODEL,
    "model_name": _MODEL,
    "base_model": _MODEL,
    "dataset": "write `dataset_name`",
    "prompt_column": "write `question_column`",
    "solution_column": "write `answer_column`",
    "epochs": "write `num_train_epochs`",
    "num_epochs": "write `num_train_epochs`",
    "lr": "write `learning_rate`",
    "train_batch_size": "write `per_device_train_batch_size`",
    "batch_size": "write `per_device_train_batch_size`",
    "lora_target": "write `lora_target_modules`",
}
