# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A BERT encoder (1810.04805) with a classifier on the first token."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.benchmarks.workload import Built

from .data import tokens

CLASSES = 2


def bert(batch: int, layers: int, width: int, heads: int, length: int, vocabulary: int) -> Built:
    """A post-norm encoder without dropout, classifying sequences of full length."""
    torch.manual_seed(0)
    x = tokens(batch, length, vocabulary)
    model = Bert(layers, width, heads, length, vocabulary)
    return Built(model.eval(), x, x[:, 0] % CLASSES, F.cross_entropy)


class Attention(nn.Module):
    """Multi-head attention of all positions to all."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, length, self.heads, -1).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.output(y.transpose(1, 2).reshape(batch, length, width))


class Layer(nn.Module):
    """Attention and feed-forward, each with its residual and a layer norm behind."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Bert(nn.Module):
    """Embeddings, layers, and a classifier of two linear layers on the first token."""

    def __init__(self, layers: int, width: int, heads: int, length: int, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(1, length, width) * 0.02)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.layers(self.norm(self.tokens(tokens) + self.positions))
        return self.classifier(torch.tanh(self.pooler(x[:, 0])))
