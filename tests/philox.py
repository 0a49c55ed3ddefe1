# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Philox4x32-10 in numpy: the reference for ``sparsebp.random_mask`` and ``random_uniform``.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

import numpy as np

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)


def philox4x32(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Ten rounds over counters ``[n, 4]`` (uint32) with one key; ``[n, 4]`` (uint32)."""
    c = [counter[:, i].astype(np.uint64) for i in range(4)]
    k0, k1 = key
    for _ in range(10):
        p0, p1 = _M0 * c[0], _M1 * c[2]
        c = [
            (p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1),
            p0 & _LOW,
        ]
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack(c, axis=1).astype(np.uint32)


def random_mask(seed: int, step: int, stream: int, probability: float, shape: tuple[int, ...]) -> np.ndarray:
    """The bits of ``sparsebp.random_mask``, as bool."""
    threshold = min(int(probability * 2.0**32), 2**32)
    return np.asarray(random_words(seed, step, stream, shape).astype(np.uint64) < np.uint64(threshold))


def random_uniform(seed: int, step: int, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of ``sparsebp.random_uniform``, as float32."""
    words = random_words(seed, step, stream, shape)
    return np.asarray((words >> np.uint32(8)) * 2.0**-24, np.float32)


def random_words(seed: int, step: int, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """The word (uint32) behind each element of a random operation's result."""
    count = int(np.prod(shape, dtype=np.int64))
    blocks = -(-count // 4)
    counter = np.zeros((blocks, 4), np.uint32)
    counter[:, 0] = np.arange(blocks)
    counter[:, 1] = stream
    counter[:, 2], counter[:, 3] = step & 0xFFFFFFFF, step >> 32
    words = philox4x32(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF))
    return words.reshape(-1)[:count].reshape(shape)
