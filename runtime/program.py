# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Opening a compiled program and calling its functions."""

import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import iree.runtime as rt

from .cores import default_device
from .device import Device
from .errors import ArtifactError, DeviceError, reason
from .files import sha256
from .metadata import Metadata, ParameterStorage

MODULE = "pock"
"""The name of the VM module in every compiled program."""

_METADATA = "pock.metadata"


def check_archive(path: Path) -> None:
    """Check that ``path`` is a whole, unchanged program; raises ``ArtifactError``.

    IREE's file is a ZIP archive, whose checksums IREE itself does not look at.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ArtifactError(f"no file {path}") from None
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        with file, zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    # A damaged directory makes zipfile raise nearly anything: EOFError, NotImplementedError, OSError, …
    except Exception as error:
        raise ArtifactError(f"{path} is no compiled program, or is damaged: {reason(error)}") from None
    if damaged is not None:
        raise ArtifactError(f"{path} is damaged: the checksum of its part '{damaged}' does not match")


class Program:
    """A compiled program, loaded on a device.

    ``device`` overrides the device that suits the program, ``parameters`` the place of its external
    parameters. Not thread-safe.
    """

    def __init__(
        self, path: str | Path, device: str | None = None, parameters: str | Path | None = None
    ) -> None:
        """Raises ``ArtifactError`` or ``DeviceError``."""
        path = Path(path)
        check_archive(path)
        self._path = path
        self._instance = rt.VmInstance()
        try:
            self._module = rt.VmModule.mmap(self._instance, str(path))
        except (OSError, RuntimeError, ValueError) as error:
            raise ArtifactError(f"cannot load {path}: {reason(error)}") from None
        self.metadata = self._read_metadata(path)
        self.device = Device(device or default_device(self.metadata))
        self._last: Any = None
        self._devices = [self.device]
        self._parameters = self._provider(path, parameters)
        self._context = self._opened(self.device)

    def _opened(self, device: Device) -> Any:
        """The program on ``device``, with variables of its own."""
        modules = [rt.create_hal_module(self._instance, device.hal)]
        if self._parameters is not None:
            modules.append(rt.create_io_parameters_module(self._instance, self._parameters))
        try:
            return rt.VmContext(self._instance, [*modules, self._module])
        except (RuntimeError, ValueError) as error:
            raise DeviceError(
                f"device '{device.uri}' cannot run {self._path}, which is compiled for "
                f"'{self.metadata.target}': {reason(error)}"
            ) from None

    def _read_metadata(self, path: Path) -> Metadata:
        init = self._module.lookup_function("init") if self._module.name == MODULE else None
        text = init.reflection.get(_METADATA) if init is not None else None
        if text is None:
            raise ArtifactError(f"{path} is an IREE module but not a program compiled by pock")
        try:
            return Metadata.from_json(text)
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from None

    def _provider(self, path: Path, override: str | Path | None) -> Any:
        storage = self.metadata.parameters
        if storage.storage == "embedded":
            if override is not None:
                raise ArtifactError(f"{path} carries its parameters inside and takes no archive {override}")
            return None
        archive = Path(override) if override is not None else path.parent / storage.file
        _check_parameters(path, archive, storage)
        index = rt.ParameterIndex()
        try:
            index.load(str(archive))
        except (OSError, RuntimeError, ValueError) as error:
            raise ArtifactError(f"cannot load the parameters in {archive}: {reason(error)}") from None
        return index.create_provider(scope=storage.scope)

    def function(self, name: str) -> Any:
        """An exported function, None if the program has no such."""
        return self._module.lookup_function(name)

    def call(self, function: Any, arguments: Any, results: int) -> Any:
        """Invoke ``function`` with a list of IREE's (``packed``); returns the list of its results.

        Returns when the results are there. Raises ``DeviceError``.
        """
        self.turn_to(function)
        return self.run(function, arguments, results)

    def run(self, function: Any, arguments: Any, results: int) -> Any:
        """``call`` for one of several functions that take turns; ``turn_to`` one of them before."""
        return _invoked(self._context, self.device, function, arguments, results)

    def turn_to(self, function: Any) -> None:
        """Give back what functions used that were called before, unless this is the one."""
        if function is not self._last:
            # What another function has used is of no use to this one.
            for device in self._devices:
                device.allocator.trim()
            self._last = function

    def beside(self, device: Device) -> Callable[[Any, Any, int], Any]:
        """``run`` on another device, which may be called while the program runs elsewhere.

        It is for one thread at a time. Raises ``DeviceError``.
        """
        context = self._opened(device)
        self._devices.append(device)
        return partial(_invoked, context, device)


def _invoked(context: Any, device: Device, function: Any, arguments: Any, results: int) -> Any:
    returned = rt.VmVariantList(results)
    try:
        context.invoke(function, arguments, returned)
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"'{function.name}' failed on {device.uri}: {reason(error)}") from None
    return returned


def packed(arguments: Sequence[Any]) -> Any:
    """``HalBufferView``s, or references to such, as a list of IREE's; it can be used again."""
    made = rt.VmVariantList(len(arguments))
    push = made.push_ref
    for argument in arguments:
        push(argument)
    return made


def _check_parameters(program: Path, archive: Path, storage: ParameterStorage) -> None:
    try:
        digest = sha256(archive)
    except OSError as error:
        raise ArtifactError(
            f"cannot read {archive}, which holds the parameters of {program}: {error.strerror or error}"
        ) from None
    if digest != storage.sha256:
        raise ArtifactError(f"{archive} is not the parameter archive that {program} was compiled with")
