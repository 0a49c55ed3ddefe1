# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``random_mask`` is Philox4x32-10, as a reference in numpy computes it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from .harness import Case, check


def philox4x32_10(counter: Any, key: tuple[int, int]) -> Any:
    """``[4, n]`` random words of the counters ``[4, n]``, after Salmon et al. (SC 2011)."""
    low = np.uint64(0xFFFFFFFF)
    c = [np.asarray(word, np.uint64) for word in counter]
    k = [np.uint64(word) for word in key]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [
            (second >> np.uint64(32)) ^ c[1] ^ k[0],
            second & low,
            (first >> np.uint64(32)) ^ c[3] ^ k[1],
            first & low,
        ]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(c)


def reference(shape: tuple[int, ...], seed: int, step: int, stream: int, probability: float) -> Any:
    """The mask that the dialect documents."""
    count = int(np.prod(shape))
    blocks = np.arange(-(-count // 4))
    step, seed = step % 2**64, seed % 2**64
    constant = [np.full(len(blocks), v) for v in (stream, step % 2**32, step >> 32)]
    words = philox4x32_10([blocks, *constant], (seed % 2**32, seed >> 32))
    return (words.T.reshape(-1)[:count] < probability * 2**32).reshape(shape)


def mask_case(shape: tuple[int, ...], seed: int, step: int, stream: int, probability: float) -> Case:
    built = Case([torch.tensor(seed), torch.tensor(step)], note=f"random_mask {shape} {seed} {step}")
    type_ = f"!torch.vtensor<[{','.join(map(str, shape))}],i1>"
    mask = built.value(
        f'"sparsebp.random_mask"(%a0, %a1) {{stream = {stream} : i64, '
        f"probability = {probability!r} : f64}} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) "
        f"-> {type_}"
    )
    built.returns(mask, torch.from_numpy(reference(shape, seed, step, stream, probability)))
    return built


def test_reference_is_philox() -> None:
    """Known answers of the authors' Random123 library (``kat_vectors``)."""
    ones = 0xFFFFFFFF
    known = {
        ((0, 0, 0, 0), (0, 0)): (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ((ones,) * 4, (ones, ones)): (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)): (
            0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1,
        ),
    }  # fmt: skip
    for (counter, key), words in known.items():
        assert tuple(philox4x32_10([[c] for c in counter], key)[:, 0]) == words


def test_random_mask(tmp_path: Path) -> None:
    check(
        [
            mask_case((3, 5, 7), 0, 0, 0, 0.5),
            mask_case((64, 33), 1234567890123456789, 7, 3, 0.9),
            mask_case((64, 33), -1, 2**40 + 5, 1, 0.1),
            mask_case((5,), 42, 1, 2**31 + 9, 1.0),
            mask_case((5,), 42, 1, 0, 0.0),
            mask_case((4, 1), 42, 1, 2, 0.25),
        ],
        tmp_path,
    )
