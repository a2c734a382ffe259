"""The keys of the configs of nanochat's scripts, to the master of 2026-07-03. Data only."""

from __future__ import annotations

_BASE = """run device_type fp8 fp8_recipe depth aspect_ratio head_dim max_seq_len window_pattern
num_iterations target_flops target_param_data_ratio device_batch_size total_batch_size embedding_lr
unembedding_lr weight_decay matrix_lr scalar_lr warmup_steps warmup_ratio warmdown_ratio
final_lr_frac resume_from_step eval_every eval_tokens core_metric_every core_metric_max_per_task
sample_every save_every model_tag grad_clip adam_beta1 adam_beta2 use_dummy_wandb"""
_SFT = """run device_type model_tag model_step source dtype load_optimizer num_iterations num_epochs
max_seq_len device_batch_size total_batch_size target_examples_per_step embedding_lr unembedding_lr
matrix_lr weight_decay init_lr_frac warmup_ratio warmdown_ratio final_lr_frac eval_every eval_steps
eval_metrics_every eval_metrics_max_problems eval_tokens chatcore_every chatcore_max_cat
chatcore_max_sample mmlu_epochs gsm8k_epochs"""
_RL = """run device_type model_tag model_step num_epochs device_batch_size examples_per_step
num_samples max_new_tokens temperature top_k embedding_lr unembedding_lr matrix_lr weight_decay
init_lr_frac eval_every eval_examples save_every"""

CONFIG = frozenset(f"{_BASE} {_SFT} {_RL}".split())

# Keys that one script alone has: they tell which stage a config is of.
TELLING: dict[str, tuple[str, ...]] = {
    "base_train": ("core_metric_every", "target_param_data_ratio", "core_metric_max_per_task"),
    "chat_sft": ("chatcore_every", "eval_metrics_every", "mmlu_epochs"),
    "chat_rl": ("examples_per_step", "eval_examples"),
}

# Results whose names say so to anyone who knows nanochat; beside catalog.METRICS and its aliases.
RESULTS = frozenset(
    ("step", "loss", "centered_results", "chatcore", "num_tokens", "min_val_bpb", "val_bpb", "core")
)
