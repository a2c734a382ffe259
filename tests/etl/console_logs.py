"""Small logs in the words of nanochat's scripts, of each era, and the noise around them."""

from __future__ import annotations

_LOGGER = "2025-10-15 02:40:{:02d},521 - nanochat.{} - \x1b[32m\x1b[1mINFO\x1b[0m - {}"


def logged(second, module, text):
    return _LOGGER.format(second, module, text)


def loading(second, folder, step):
    path = f"/root/.cache/nanochat/{folder}/d4"
    return logged(second, "checkpoint_manager", f"Loading model from {path} with step {step}")


def world(second):
    return logged(second, "common", "Distributed world size: 2")


def base_2025(steps=range(3), total=3, first=()):
    """Base training as of October 2025."""
    return [
        "                                                   █████                 █████",
        "░░███░░███  ░░░░░███ ░░███░░███  ███░░███ ███░░███ ░███░░███  ░░░░░███ ░░░███░",
        "Overriding: depth = 4",
        "Overriding: run = speedrun",
        world(18),
        "Vocab size: 65,536",
        "num_layers: 4",
        "model_dim: 256",
        "Tokens / micro-batch / rank: 2 x 2048 = 4,096",
        "Total batch size 8,192 => gradient accumulation steps: 1",
        "Number of parameters: 36,700,160",
        "Estimated FLOPs per token: 1.447035e+08",
        f"Calculated number of iterations from target data:param ratio: {total:,}",
        *first,
        *(["Step 00000 | Validation bpb: 3.3013"] if steps[0] == 0 else []),
        *[
            f"step {n:05d}/{total:05d} ({100 * n / total:.2f}%) | loss: {9 - n}.090355 | lrm: 1.00"
            f" | dt: {489.39 + n:.2f}ms | tok/sec: 1,071,306 | mfu: 47.28 | total time: 0.21m"
            for n in steps
        ],
    ]


def core(step):
    """CORE within base training: two tasks of its 22."""
    return [
        (
            "Evaluating: copa (0-shot, type: multiple_choice)... "
            "accuracy: 0.5900 | centered: 0.1800 | time: 0.23s"
        ),
        "Evaluating: boolq (10-shot, type: multiple_choice)... ",
        "accuracy: 0.5160 | centered: -0.2737 | time: 1.61s",
        f"Step {step:05d} | CORE metric: 0.1240",
    ]


def base_end(step=3):
    path = f"/root/.cache/nanochat/base_checkpoints/d4/model_{step:06d}.pt"
    return [
        f"Step {step:05d} | Validation bpb: 0.8118",
        *core(step),
        "<|bos|>The capital of France is Paris.",
        logged(50, "checkpoint_manager", f"Saved model file to: {path}"),
        "Peak memory usage: 75424.17MiB",
        "Total training time: 174.75m",
        "Minimum validation bpb: 0.8118",
    ]


def base_loss():
    return [world(51), loading(51, "base_checkpoints", 3), "train bpb: 0.8147", "val bpb: 0.8119"]


def base_eval():
    return [
        world(52),
        loading(52, "base_checkpoints", 3),
        *core(3)[:1],
        "=" * 80,
        "Model: base_model (step 3)",
        "Task                               , Accuracy  , Centered  ",
        "copa                               , 0.660000  , 0.320000  ",
        "CORE                               ,           , 0.220037  ",
    ]


def mid_2025():
    line = (
        "step {:05d} ({:.2f}%) | loss: {}.5 | lrm: 1.00 | dt: 500.00ms | tok/sec: 1,000"
        " | mfu: 46.00 | total time: 0.00m"
    )
    return [
        "Overriding: run = speedrun",
        world(53),
        loading(53, "base_checkpoints", 3),
        "Step 00000 | Validation bpb: 0.7000",
        *[line.format(n, 50.0 * n, n) for n in (1, 2)],
        "Step 00002 | Validation bpb: 0.5000",
        "Peak memory usage: 1.00MiB",
        "Total training time: 0.21m",
        "Minimum validation bpb: 0.5000",
    ]


def chat_eval(folder, step, *, spelling=False, aggregate=True):
    tasks = ["ARC-Easy", "ARC-Challenge", "MMLU", "GSM8K", "HumanEval"]
    found = [world(54), loading(54, folder, step)]
    for at, task in enumerate([*tasks, "SpellingBee"] if spelling else tasks):
        ranks = "".join(f"\r\x1b[KRank {n % 2} | {n}/{n + 1} (50.00%)" for n in range(5))
        found += [ranks, "=" * 50, "Final: 1/2 (50.00%)", f"{task} accuracy: {38.76 + at:.2f}%"]
    return [*found, "ChatCORE metric: 0.2511"] if aggregate else found


def sft_2025():
    return [
        "Overriding: run = speedrun",
        world(55),
        loading(55, "mid_checkpoints", 2),
        "Target examples per step: 32",
        "Step 00000 | Validation loss: 1.500000",
        "Step 00000/00003 | Training loss: 1.250000| lrm: 1.000000| num_tokens: 10,240",
        "Step 00001/00003 | Training loss: nan| lrm: 0.500000| num_tokens: 9,001",
        "Step 00002 | Validation loss: 1.100000",
        "Final: 1/2 (50.00%)",
        "Step 00002 | mmlu_acc: 0.310000, arc_easy_acc: 0.380000, gsm8k_acc: 0.050000",
        "✅ Saved model checkpoint to /root/.cache/nanochat/chatsft_checkpoints/d4",
    ]


def rl():
    return [
        world(56),
        loading(56, "chatsft_checkpoints", 2),
        "Calculated number of steps: 2",
        "Total sequences per step: 256",
        "Step 0 | Pass@1: 0.0500, Pass@2: 0.0900",
        "Step 0/2 | Example step 0 | Pass 0 | loss: 0.001 | Average reward: 0.5",
        "Step 0/2 | Average reward: 0.0625 | Average sequence length: 151.20",
        "Step 1/2 | Average reward: 0.125 | Average sequence length: 149.00",
        "Saved model checkpoint to /root/.cache/nanochat/chatrl_checkpoints/d4",
    ]


def speedrun():
    """A whole speedrun of 2025, from the tokenizer to RL."""
    return [
        "Reset report and wrote header to /root/.cache/nanochat/report/header.md",
        "\x1b[1m\x1b[36m    Building\x1b[0m [==>  ] 64/78: pyo3\r\x1b[K    Building [===> ] 65/78",
        "max_chars: 2,000,000,000",
        "doc_cap: 10,000",
        "vocab_size: 65,536",
        "Training time: 54.19s",
        *base_2025(),
        *base_end(),
        *base_loss(),
        *base_eval(),
        *mid_2025(),
        *chat_eval("mid_checkpoints", 2, aggregate=False),
        *sft_2025(),
        *chat_eval("chatsft_checkpoints", 2, spelling=True),
        *rl(),
        "Generating report to /root/.cache/nanochat/report/report.md",
    ]


def sft_2026():
    step = (
        "step {:05d} (0.00%) | loss: {} | lrm: 1.00 | dt: 5.11ms | tok/sec: 24,546 | mfu: 0.00"
        " | epoch: 1 | total time: 0.21m"
    )
    return [
        loading(30, "base_checkpoints", 10),
        "Inherited total_batch_size=128 from pretrained checkpoint",
        "Step 00000 | Validation bpb: 3.3084",
        step.format(1, "5.471677"),
        "^[[A^[[B" + step.format(2, "nan"),
        "^C" + step.format(3, "inf"),
        "  ARC-Easy: 38.76%",
        "  MMLU: 31.51%",
        "Step 00003 | ChatCORE: 0.2500 | ChatCORE_cat: 0.3000",
    ]


def base_2026():
    """The base loop of master in 2026."""
    rest = (
        "lrm: 1.00 | dt: 124.30ms | tok/sec: 4,212,000 | bf16_mfu: 40.20 | epoch: 0 pq: 3 rg: 1"
        " | total time: 0.21m"
    )
    return [
        "GPU: NVIDIA H100 80GB HBM3 | Peak FLOPS (BF16): 9.89e+14",
        "Model config:",
        "{",
        '  "n_layer": 12,',
        '  "n_embd": 768',
        "}",
        "Parameter counts:",
        "wte                     : 25,165,824",
        "total                   : 286,261,730",
        "Auto-computed optimal batch size: 524,288 tokens",
        f"step 00010/05000 (0.20%) | loss: 3.2 | {rest}",
        f"step 00011/05000 (0.22%) | loss: 3.1 | grad norm: 0.5 | {rest} | eta: 10.3m",
    ]


def records_base():
    """Base training on the branch of July 2026."""
    return [
        "argv script=scripts.base_train args='--depth=12 --api=s3cret'",
        "config run=dummy depth=12 num_iterations=-1 fp8=True model_tag=None data=/home/me/data",
        "params wte=25165824 total=286261730",
        "eval step=0 eflops=0.0 val_bpb=3.25",
        (
            "step 00000/00002 (0.00%) | loss: 9.5 | lrm: 1.00 | dt: 500.00ms | tok/sec: 1,000"
            " | bf16_mfu: 40.20 | epoch: 1 | total time: 0.00m"
        ),
        "eval step=2 eflops=0.5 val_bpb=0.8213",
        "core step=2 core=0.21",
        (
            "summary model_tag=d12 depth=12 model_dim=768 num_iterations=2 total_batch_size=524288"
            " train_time_sec=38.2 peak_vram_mib=7000 val_bpb=0.8213 min_val_bpb=0.8213"
        ),
    ]


def records_eval():
    return [
        "argv script=scripts.chat_eval args='-i sft'",
        "config source=sft step=None",
        "ARC-Easy accuracy: 38.76%",
        "MMLU accuracy: 31.51%",
        "summary model_tag=d12 source=sft step=485 ARC-Easy=0.387626 MMLU=0.315149 chatcore=0.1234",
    ]


def text(lines, end="\n"):
    return (end.join(lines) + end).encode()
