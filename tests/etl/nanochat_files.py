"""Files as nanochat's own scripts write them under $NANOCHAT_BASE_DIR, of a model of depth 4."""

from __future__ import annotations

import json

MODEL = {
    "sequence_len": 512,
    "vocab_size": 4096,
    "n_layer": 4,
    "n_head": 2,
    "n_kv_head": 2,
    "n_embd": 256,
    "window_pattern": "L",
}
BASE_CONFIG = {
    "run": "dummy",
    "device_type": "",
    "depth": 4,
    "aspect_ratio": 64,
    "head_dim": 128,
    "max_seq_len": 512,
    "num_iterations": -1,
    "target_param_data_ratio": 12,
    "device_batch_size": 16,
    "total_batch_size": -1,
    "resume_from_step": -1,
    "eval_every": 250,
    "save_every": 1000,
    "model_tag": None,
}
SFT_CONFIG = {
    "run": "chatty",
    "model_tag": None,
    "model_step": 1800,
    "num_iterations": -1,
    "max_seq_len": None,
    "total_batch_size": None,
    "eval_every": 200,
    "chatcore_every": 200,
    "mmlu_epochs": 3,
}
# accuracy and centred accuracy of two of the tasks, and what would be the mean of all
CORE = {"hellaswag": (0.265, 0.02), "boolq": (0.481957, -0.3)}
CORE_METRIC = 0.0477


def save(folder, step, /, **meta):
    """Write metadata as nanochat.checkpoint_manager does: json.dump with an indent of 2."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"meta_{step:06d}.json"
    path.write_text(json.dumps(meta, indent=2))
    return path


def base(folder, step, val_bpb=0.9, min_val_bpb=0.9, model=MODEL, **config):
    return save(
        folder,
        step,
        step=step,
        val_bpb=val_bpb,
        model_config=model,
        user_config={**BASE_CONFIG, **config},
        device_batch_size=16,
        max_seq_len=512,
        total_batch_size=65536,
        dataloader_state_dict={"pq_idx": 3, "rg_idx": 1, "epoch": 1},
        loop_state={
            "min_val_bpb": min_val_bpb,
            "smooth_train_loss": 3.25,
            "total_training_time": 12.5,
        },
    )


def table(folder, name="base_model_001800.csv"):
    """Write a table as scripts/base_eval does."""
    folder.mkdir(exist_ok=True)
    rows = [f"{'Task':<35}, {'Accuracy':<10}, {'Centered':<10}\n"]
    rows += [f"{task:<35}, {a:<10.6f}, {c:<10.6f}\n" for task, (a, c) in CORE.items()]
    rows.append(f"{'CORE':<35}, {'':<10}, {CORE_METRIC:<10.6f}\n")
    (folder / name).write_text("".join(rows))
    return folder / name


HEADER = """# nanochat training report

Generated: 2026-02-20 09:00:00

## Environment

### Git Information
- Branch: master
- Commit: abc1234 (dirty)
- Message: a change

### Hardware
- Platform: Linux
- CPUs: 8 cores (16 logical)
- GPUs: 1x NVIDIA H100 80GB HBM3
- CUDA Version: 12.8

### Software
- Python: 3.10.12
- PyTorch: 2.9.1+cu128

### Bloat
- Characters: 406,190

Run started: 2026-02-20 09:00:00

---

"""
BASE = """## Base model training
timestamp: 2026-02-20 10:00:00

- run: dummy
- device_type:
- depth: 4
- num_iterations: -1
- total_batch_size: -1
- eval_tokens: 10,485,760
- embedding_lr: 0.3000
- fp8: False
- model_tag: None
- Number of parameters: 36,700,290
- Number of FLOPs per token: 1.230000e+08
- Calculated number of iterations: 1840
- Number of training tokens: 120,586,240
- Tokens : Scaling params ratio: 12.0000
- DDP world size: 8
- Minimum validation bpb: 1.1000
- Final validation bpb: 1.1012
- CORE metric estimate: 0.0500
- MFU %: 40.25%
- Total training flops: 1.500000e+16
- Total training time: 2.50m
- Peak memory usage: 9000.50MiB

"""
EVALUATION = """## Base model evaluation
timestamp: 2026-02-20 10:05:00

- model: base_model (step 1840)
- CORE metric: 0.0477
- hellaswag: 0.0200
- boolq: -0.3000
- train bpb: 1.0900
- val bpb: 1.1015
- sample 0: <|bos|>The capital of France is
- Paris: a city
of many words
- unconditioned 0: <|bos|>Once

"""
SFT = """## SFT
timestamp: 2026-02-20 11:00:00

- run: chatty
- model_tag: None
- model_step: None
- max_seq_len: None
- Number of iterations: 300
- DDP world size: 8
- Minimum validation bpb: 0.5000

"""
CHAT = """## Chat evaluation sft
timestamp: 2026-02-20 11:10:00

- source: sft
- temperature: 0.0000
- step: None
- ARC-Easy: 0.4000
- ARC-Challenge: 0.3000
- MMLU: 0.3100
- GSM8K: 0.0400
- HumanEval: 0.0300
- SpellingBee: 0.9700
- ChatCORE metric: 0.2300

"""
RL = """## Chat RL
timestamp: 2026-02-20 12:00:00

- run: chatty
- num_samples: 16

"""
RL_CHAT = """## Chat evaluation rl
timestamp: 2026-02-20 12:10:00

- source: rl
- step: None
- GSM8K: 0.0900

"""
SECTIONS = (BASE, EVALUATION, SFT, CHAT, RL, RL_CHAT)
END = "## Summary\n\n- Characters: 406,190\n\nTotal wall clock time: 2h10m\n"


def write(folder, text, name="report.md"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def whole(folder):
    return write(folder, HEADER + "\n".join(SECTIONS) + "\n" + END)


def in_pieces(folder):
    """The folder as it is before nanochat assembles its report."""
    write(folder, HEADER, "header.md")
    titles = [text.splitlines()[0][3:] for text in SECTIONS]
    return [
        write(folder, text, title.lower().replace(" ", "-") + ".md")
        for title, text in zip(titles, SECTIONS, strict=True)
    ]
