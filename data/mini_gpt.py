"""Token rows -> logits: a miniature GPT in nanochat's manner, and the count of its operations.

Rotary positions, RMSNorm without weights, normalised queries and keys, relu² and an untied head, as
in nanochat; one AdamW for all weights, so that a configuration has a single learning rate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  torch's own name for it
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a model."""

    vocab_size: int
    depth: int
    model_dim: int
    n_head: int
    max_seq_len: int


def norm(x: Tensor) -> Tensor:
    """Scale *x* to unit root mean square over its last dimension."""
    return F.rms_norm(x, (x.size(-1),))


def rotary(length: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines that turn a query or key by its position."""
    frequency = 1.0 / (10000.0 ** (torch.arange(0, head_dim, 2) / head_dim))
    angle = torch.outer(torch.arange(length), frequency)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn *x* (batch, head, position, head_dim) by its position."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos + b * sin, b * cos - a * sin], dim=-1)


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.model_dim
        self.n_head = shape.n_head
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.proj = nn.Linear(d, d, bias=False)
        self.up = nn.Linear(d, 4 * d, bias=False)
        self.down = nn.Linear(4 * d, d, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return *x* after this block."""
        rows, length, d = x.shape
        heads = self.qkv(norm(x)).view(rows, length, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        q, k = norm(rotate(heads[0], cos, sin)), norm(rotate(heads[1], cos, sin))
        mixed = F.scaled_dot_product_attention(q, k, heads[2], is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).reshape(rows, length, d))
        out: Tensor = x + self.down(F.relu(self.up(norm(x))).square())
        return out


class MiniGPT(nn.Module):
    """A decoder of a few layers."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.wte = nn.Embedding(shape.vocab_size, shape.model_dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.lm_head = nn.Linear(shape.model_dim, shape.vocab_size, bias=False)
        cos, sin = rotary(shape.max_seq_len, shape.model_dim // shape.n_head)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, weight in self.named_parameters():
            # a block starts as the identity and the head at 0, so loss starts at ln(vocab_size)
            if name.endswith(("proj.weight", "down.weight", "lm_head.weight")):
                nn.init.zeros_(weight)
            else:
                std = 1.0 if name.startswith("wte") else weight.size(-1) ** -0.5
                nn.init.normal_(weight, std=std)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (row, position, vocabulary) of the token after each of *tokens*."""
        length = tokens.size(1)
        x = norm(self.wte(tokens))
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        logits: Tensor = self.lm_head(norm(x))
        return logits

    def num_params(self) -> int:
        """Return how many weights there are, embeddings included."""
        return sum(weight.numel() for weight in self.parameters())

    def flops_per_token(self, length: int) -> int:
        """Return the operations of one training step for each token, in rows of *length*.

        Counted as nanochat does: 6 for each weight that multiplies, 12 for each attended pair.
        """
        multiplied = self.num_params() - self.wte.weight.numel()
        return 6 * multiplied + 12 * self.shape.depth * self.shape.model_dim * length


def measure_peak_flops(size: int = 1024, seconds: float = 1.0) -> float:
    """Return the FLOP/s of this CPU's best float32 matrix product, on torch's threads."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = 0.0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2.0 * size**3 / (time.perf_counter() - start))
    return best
