# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A Llama-style decoder (2302.13971): RMS norm, rotary positions, causal attention, SwiGLU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.benchmarks.workload import Built

from .data import tokens


def llama(batch: int, layers: int, width: int, heads: int, length: int, vocabulary: int) -> Built:
    """A decoder that predicts each sequence's next tokens."""
    torch.manual_seed(0)
    sequence = tokens(batch, length + 1, vocabulary)
    model = Llama(layers, width, heads, length, vocabulary)
    x, y = sequence[:, :-1].contiguous(), sequence[:, 1:].contiguous()
    return Built(model.eval(), x, y, _loss)


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class RMSNorm(nn.Module):
    """Root mean square normalization (1910.07467)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class Attention(nn.Module):
    """Causal attention with rotary positions (2104.09864)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, length, self.heads, -1).transpose(1, 2)

        q, k = _rotate(split(self.query(x)), cos, sin), _rotate(split(self.key(x)), cos, sin)
        y = F.scaled_dot_product_attention(q, k, split(self.value(x)), is_causal=True)
        return self.output(y.transpose(1, 2).reshape(batch, length, width))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Layer(nn.Module):
    """Attention and a gated feed-forward of 8/3 the width, each behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        hidden = (8 * width // 3 + 63) // 64 * 64
        self.attention = Attention(width, heads)
        self.attention_norm, self.norm = RMSNorm(width), RMSNorm(width)
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    """Embedding, layers, and an output layer of its own."""

    cos: Tensor
    sin: Tensor

    def __init__(self, layers: int, width: int, heads: int, length: int, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = RMSNorm(width)
        self.output = nn.Linear(width, vocabulary, bias=False)
        half = width // heads // 2
        frequencies = 10000.0 ** (-torch.arange(half) / half)
        angles = torch.outer(torch.arange(length), frequencies).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return self.output(self.norm(x))
