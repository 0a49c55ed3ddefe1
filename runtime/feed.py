# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a program is given anew in each step, on its way to the device."""

import ctypes
from typing import Any

import iree.runtime as rt
import numpy as np

from .device import ALIGNMENT, Array, Device, address, aligned_empty, element_type
from .inputs import check
from .metadata import TensorSpec


class Feed:
    """One input of a program on its way to the device, step after step."""

    def __init__(self, device: Device, spec: TensorSpec, unaligned: bool = False) -> None:
        """``unaligned`` says that the program reads the input wherever its elements may lie."""
        self.device = device
        self.spec = spec
        self._unaligned = unaligned
        self._as_it_is = spec.stored is None
        self._alignment = spec.device_dtype.alignment if unaligned else ALIGNMENT
        self._shape, self._element = list(spec.shape), element_type(spec.device_dtype)
        self._staging: Array | None = None
        self._staged_at = -1
        self._view: Any = None

    def like(self, spec: TensorSpec) -> "Feed":
        """One for ``spec``, which is read just so."""
        return Feed(self.device, spec, self._unaligned)

    def place(self, array: Array) -> int | None:
        """The address at which the program can read ``array``, None on devices that share no memory.

        An array that the program can read is read where it lies, and any other is copied into memory that
        the next call reuses. Raises ``InputError`` if the array does not fit.
        """
        if not self.device.shares_memory:
            check(array, self.spec)
            return None
        wanted = self.spec.dtype
        fits = array.shape == self.spec.shape and (array.dtype is wanted or array.dtype == wanted)
        if fits and self._as_it_is:
            place = _writeable_at(array)
            if place is not None and place % self._alignment == 0:
                return place
        check(array, self.spec)
        self.stage(array)
        return self._staged_at

    def view(self, array: Array, place: int | None) -> Any:
        """``array``, which ``place`` has just been told of, as a ``HalBufferView``.

        Where memory is shared, the view is no more than the address: it keeps no array, and it is good
        whenever ``place`` returns that address again, be it for another array.
        """
        if place is None:
            return self.device.put(array.astype(self.spec.device_dtype, copy=False))
        if place == self._staged_at:
            return self._view
        return rt.HalBufferView(self.device.imported(array), self._shape, self._element)

    def stage(self, array: Array) -> Any:
        """A copy of ``array`` as a ``HalBufferView``: where memory is shared, always the same."""
        if not self.device.shares_memory:
            return self.device.put(array.astype(self.spec.device_dtype, copy=False))
        if self._staging is None:
            self._staging = aligned_empty(self.spec.shape, self.spec.device_dtype)
            self._staged_at = address(self._staging)
            self._view = self.device.share(self._staging)
        np.copyto(self._staging, array, casting="safe")
        return self._view


def _writeable_at(array: Array) -> int | None:
    """The address of an array that is contiguous and writeable, None of any other.

    In each step this is asked anew, with cold caches: NumPy's own ways to find out take twice as long.
    """
    memory: Any = array
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(memory))
    except TypeError:
        return None
    except ValueError:
        # It has no elements, or those of ml_dtypes, which others cannot read.
        return address(array) if array.flags.c_contiguous and array.flags.writeable else None
