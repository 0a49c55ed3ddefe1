# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Moving arrays between NumPy and a device."""

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import iree.runtime as rt
import numpy as np
from numpy.typing import NDArray

from .errors import DeviceError, reason

ALIGNMENT = 64
"""Bytes to which compiled kernels assume their buffers aligned, some programs' inputs apart."""

Array = NDArray[Any]

Span = tuple[int, int]
"""Addresses from the first to one behind the last."""

_UNPACK = {np.dtype(code): struct.Struct(code).unpack_from for code in "fd"}

_DEVICE_LOCAL = int(rt.MemoryType.DEVICE_LOCAL)
_HOST_VISIBLE = int(rt.MemoryType.HOST_VISIBLE)
_HOST = int(rt.MemoryType.HOST_LOCAL | rt.MemoryType.DEVICE_VISIBLE)
_USAGE = int(rt.BufferUsage.DEFAULT)
_MAPPING = int(rt.BufferUsage.MAPPING_SCOPED)
_STAGING = int(rt.BufferUsage.TRANSFER_TARGET | rt.BufferUsage.MAPPING_SCOPED)


def element_type(dtype: np.dtype[Any]) -> int:
    """IREE's element type for a NumPy dtype."""
    return int(rt.dtypes.map_dtype_to_hal_element_type(dtype))


def aligned_empty(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """An uninitialised array whose memory a program can read without a copy."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def address(array: Array) -> int:
    """Where the array's first element is."""
    return int(array.__array_interface__["data"][0])


def overlaps(span: Span, others: Iterable[Span]) -> bool:
    """Whether ``span`` has an address in common with one of ``others``."""
    begin, end = span
    return any(begin < other_end and other < end for other, other_end in others)


@cache
def _open(uri: str, number: int) -> Any:
    """The device, opened once a process; ``number`` tells devices of one URI apart.

    On the host memory that a program has freed is kept for its next call: fresh memory is mapped and zeroed
    page by page, which takes a fifth of a training step's time.
    """
    if not uri.startswith("local-"):
        return rt.get_device(uri)
    scheme, _, path = uri.partition("://")
    return rt.get_driver(scheme).create_device_by_uri(f"{scheme}://{path}", allocators=["caching"])


class Device:
    """A device of IREE's, opened by its URI (``local-task``, ``local-sync``, ``vulkan``, ``cuda``, …)."""

    def __init__(self, uri: str, number: int = 0) -> None:
        """Open it, or another one like it for each ``number``: those do not wait for one another.

        Raises ``DeviceError`` if there is no such device.
        """
        self.uri = uri
        try:
            self.hal = _open(uri, number)
        except (RuntimeError, ValueError) as error:
            known = ", ".join(sorted(rt.query_available_drivers()))
            raise DeviceError(
                f"no device '{uri}' here: {reason(error)} (drivers of this runtime: {known})"
            ) from None
        self.allocator = self.hal.allocator
        self.shares_memory = uri.startswith("local-")
        """Whether programs on it can read NumPy's memory."""

    def put(self, array: Array) -> Any:
        """A copy of ``array`` on the device, as a ``HalBufferView``."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        buffer = self.allocator.allocate_buffer_copy(
            memory_type=_DEVICE_LOCAL, allowed_usage=_USAGE, device=self.hal, buffer=flat
        )
        return rt.HalBufferView(buffer, list(array.shape), element_type(array.dtype))

    def share(self, array: Array) -> Any:
        """``array``'s own memory as a ``HalBufferView``.

        The device must share memory, and the array be contiguous and writeable. It must be aligned to
        ``ALIGNMENT`` unless what reads it takes less.
        """
        return rt.HalBufferView(self.imported(array), list(array.shape), element_type(array.dtype))

    def imported(self, array: Array) -> Any:
        """The memory that ``share`` takes, as a ``HalBuffer``."""
        # ml_dtypes' arrays, of kind V, have no buffer that others can read.
        memory = array.reshape(-1).view(np.uint8) if array.dtype.kind == "V" else array
        return self.allocator.import_host_allocation(memory, memory_type=_HOST, allowed_usage=_USAGE)

    def get(self, view: Any, dtype: np.dtype[Any]) -> Array:
        """A copy of a buffer view's contents."""
        with self.mapped(view) as flat:
            return flat.copy().view(dtype).reshape(view.shape)

    def scalar(self, dtype: np.dtype[Any]) -> Callable[[Any], float]:
        """What reads the only element of a buffer view."""
        if not self.shares_memory or dtype not in _UNPACK:
            return lambda view: float(self.get(view, dtype))
        # NumPy takes much longer to read a number.
        unpack = _UNPACK[dtype]
        return lambda view: float(unpack(view.map())[0])

    def span(self, view: Any) -> Span:
        """Where a buffer view's contents are, as the host sees it."""
        with self.mapped(view) as flat:
            return address(flat), address(flat) + flat.nbytes

    def mapped(self, view: Any) -> "_Mapped":
        """The bytes of a buffer view, for as long as the context lasts."""
        return _Mapped(self, view)

    def staged(self, buffer: Any) -> Any:
        """A copy of ``buffer`` in memory that the host can map.

        IREE's own ``DeviceArray.to_host`` imports NumPy's memory instead, which Vulkan drivers refuse
        unless it is aligned to 4096 bytes.
        """
        staging = self.allocator.allocate_buffer(
            memory_type=_HOST, allowed_usage=_STAGING, allocation_size=buffer.byte_length()
        )
        semaphore = self.hal.create_semaphore(0)
        done = rt.HalFence.create_at(semaphore, 1)
        self.hal.queue_copy(
            buffer, staging, wait_semaphores=rt.HalFence.create_at(semaphore, 0), signal_semaphores=done
        )
        done.wait()
        return staging


class _Mapped:
    def __init__(self, device: Device, view: Any) -> None:
        self._size = view.byte_length
        buffer = view.get_buffer()
        mappable = buffer.memory_type() & _HOST_VISIBLE and buffer.allowed_usage() & _MAPPING
        self._mapping = view.map() if mappable else device.staged(buffer).map()

    def __enter__(self) -> Array:
        flat: Array = self._mapping.asarray([self._size], np.dtype(np.uint8))
        return flat

    def __exit__(self, *exc: object) -> None:
        del self._mapping
