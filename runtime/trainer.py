# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``Trainer``: a compiled program and the state that it trains."""

import atexit
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import iree.runtime as rt
import numpy as np

from .checkpoint import Checkpoint, describe
from .cores import check_ranks, lanes
from .device import Array, Span, overlaps
from .errors import CheckpointError, DeviceError, InputError, PockRuntimeError, TrainingDiverged
from .feed import Feed
from .inputs import as_array, bind, hyperparameters
from .metadata import MODEL_KINDS, Metadata, StateSpec, TensorSpec
from .program import Program
from .ranks import Ranked
from .shards import Sharded
from .state import State, fetched
from .stepping import Places, Stepped, Stepping, Undivided, views

DEFAULT_LEARNING_RATE = 0.01
"""The learning rate of a step that names none, unless the program has a default of its own."""


#: How many lists of arguments a Trainer keeps.
_REMEMBERED = 4


class Trainer:
    """Trains a compiled program on this machine.

    The state (parameters that the scheme trains, buffers, optimizer state, step count and seed) stays
    on the device between steps, and a step updates it in place. Arrays go in and come out as NumPy's; what
    is accepted as an array is said in ``pock.runtime.inputs``. Not thread-safe.
    """

    def __init__(
        self,
        path: str | Path,
        device: str | None = None,
        parameters: str | Path | None = None,
        seed: int | None = None,
    ) -> None:
        """Load the program at ``path`` and its initial state.

        ``device`` is a URI of IREE's, by default what suits the program: the device that it was compiled for,
        or a single core where it does too little for more (``pock.runtime.cores``). A program whose steps
        have shards (``pock.runtime.shards``) runs those on all cores, on threads that end with the Trainer,
        unless ``device`` is ``local-sync``: then on the caller's, with the same results. A program with ranks
        (``pock.runtime.ranks``) always runs on as many threads as it is compiled for. ``parameters`` is
        where the archive of external parameters is, by default beside the program. ``seed`` seeds dropout,
        by default with the seed compiled in; a program without randomness ignores it. Raises
        ``ArtifactError`` or ``DeviceError``.
        """
        self._program = Program(path, device, parameters)
        self._device = self._program.device
        self.device: str = self._device.uri
        """The URI of the device that it runs on."""
        self.metadata: Metadata = self._program.metadata
        self._states = {s.name: i for i, s in enumerate(self.metadata.state)}
        self._model = [i for i, s in enumerate(self.metadata.state) if s.kind in MODEL_KINDS]
        self._inputs = self.metadata.inputs
        self._pairs = (*self.metadata.inputs, *self.metadata.targets)
        self._feeds = [Feed(self._device, spec, self.metadata.unaligned_inputs) for spec in self._pairs]
        self._stepping = self._divided(device is not None)
        self._state = State(self.metadata, self._stepping.devices)
        specs = [TensorSpec(h.name, (), np.dtype(np.float32)) for h in self.metadata.hyperparameters]
        self._scalars = [_Scalar(Feed(self._device, spec)) for spec in specs]
        self._plain: tuple[float | None] | None = None
        self._packed: dict[Places, Sequence[Any]] = {}
        self._aliasing: bool | None = None
        self._scalar: Callable[[Any], float] | None = None
        self.reset(seed)
        _OPEN.add(self)

    def _divided(self, named: bool) -> Stepping:
        shards, ranks = self.metadata.shards, self.metadata.ranks
        if ranks is not None:
            check_ranks(ranks.count)
            return Ranked(self._program, ranks, self._feeds)
        if shards is None:
            return Undivided(self._program, self._feeds)
        threads = lanes(shards.count, self.device, named)
        return Sharded(self._program, shards, self._feeds, threads)

    # ---- running -------------------------------------------------------------------------------------

    def reset(self, seed: int | None = None) -> None:
        """Go back to the initial state, with ``seed`` for the program's seed if given."""
        self._packed.clear()
        self._state.start(self._stepping.init())
        self._counted = 0
        self._lost = False
        self._stepped: Stepped | None = None
        self._outputs: tuple[Array, ...] | None = None
        for spec in self.metadata.state if seed is not None else ():
            if spec.kind == "seed":
                self._put_state(spec, as_array(seed, spec))

    def step(self, *arrays: Any, lr: float | None = None, check_finite: bool = False, **named: Any) -> float:
        """One training step; returns the loss.

        ``arrays`` are the inputs and then the targets, in order; ``named`` are those by name, and
        hyperparameters. ``lr`` is the learning rate, by default the program's own default or else
        ``DEFAULT_LEARNING_RATE``. A loss that is not finite is returned like any other, with the state
        already updated by its gradients; with ``check_finite`` it raises ``TrainingDiverged`` instead.
        Raises ``InputError`` before anything has changed, ``DeviceError`` if the device fails.
        """
        self._check_state()
        bound = bind(self._pairs, arrays, named)
        places = self._stepping.place(bound)
        self._set_hyperparameters(lr, named)
        arguments = self._packed.get(places)
        if arguments is None:
            arguments = self._pack(bound, places)
        # The last step's outputs are memory that this one may want.
        self._stepped = self._outputs = None
        try:
            stepped = self._stepping.run(arguments)
        except DeviceError as error:
            self._lost = True
            raise DeviceError(f"{error}; the state is lost, load a checkpoint or reset()") from None
        except BaseException:
            self._lost = self._stepping.torn
            raise
        if not self._state.settled:
            self._state.keep(arguments, stepped)
        self._stepped = stepped
        self._counted += 1
        if self._aliasing is None:
            self._aliasing = self._outputs_alias(arguments, stepped)
        if self._aliasing:
            self._outputs = self._joined(stepped)
        loss = self._loss(stepped.results[0])
        if check_finite and not math.isfinite(loss):
            raise TrainingDiverged(f"the loss became {loss} in step {self.steps}")
        return loss

    def predict(self, *arrays: Any, **named: Any) -> Any:
        """The outputs for the inputs: an array, or a tuple of arrays if the program has several outputs.

        Raises ``InputError`` or ``DeviceError``.
        """
        kept, given = self._given(self._inputs, arrays, named)
        outputs = self._converted(self._forward("predict", given), 0)
        del kept
        return outputs[0] if len(outputs) == 1 else outputs

    def evaluate(self, *arrays: Any, **named: Any) -> tuple[float, Any]:
        """The loss and the outputs (as ``predict`` gives them) for inputs and targets; trains nothing.

        Raises ``InputError``, ``DeviceError``, and ``PockRuntimeError`` for a program that cannot.
        """
        if not self.can_evaluate:
            raise PockRuntimeError("the program has no function 'evaluate' or 'loss'")
        kept, given = self._given(self._pairs, arrays, named)
        if self._program.function("evaluate") is not None:
            loss = results = self._forward("evaluate", given)
            first = 1
        else:
            count, first = len(self._inputs), 0
            results = self._forward("predict", given[:count])
            made = [results.get_as_ref(i) for i in range(len(self.metadata.outputs))]
            loss = self._stepping.loss([*made, *given[count:]])
        outputs = self._converted(results, first)
        del kept
        return self._loss(loss), outputs[0] if len(outputs) == 1 else outputs

    @property
    def can_evaluate(self) -> bool:
        """Whether the program has ``evaluate``, or ``loss`` of what ``predict`` returns."""
        return any(self._program.function(name) is not None for name in ("evaluate", "loss"))

    @property
    def outputs(self) -> tuple[Array, ...]:
        """The outputs of the last step, copied from the device when first asked for.

        Raises ``PockRuntimeError`` before the first step.
        """
        if self._outputs is None:
            if self._stepped is None:
                raise PockRuntimeError("there are no outputs before the first step")
            self._outputs = self._joined(self._stepped)
        return self._outputs

    def _given(
        self, specs: Sequence[TensorSpec], arrays: Sequence[Any], named: dict[str, Any]
    ) -> tuple[Sequence[Array], Sequence[Any]]:
        """The arrays, which views do not keep, and their views."""
        self._check_state()
        bound = bind(specs, arrays, named)
        places = [feed.place(array) for feed, array in zip(self._feeds, bound, strict=False)]
        hyperparameters((), named)
        return bound, views(self._feeds, bound, places)

    def _forward(self, function: str, given: Sequence[Any]) -> Any:
        """The results of a function of ``given`` views and the model."""
        model = [[refs[i] for i in self._model] for refs in self._state.refs]
        return self._stepping.forward(function, given, model)

    def _pack(self, arrays: Sequence[Array], places: Places) -> Sequence[Any]:
        """The arguments of a step, to be used again for inputs at the same places.

        Most of the time around a step is what it takes to put a hundred of them into a list one by one.
        Batches that come and go are allocated where earlier ones were, in turn in a few places.
        """
        scalars = [scalar.view for scalar in self._scalars]
        arguments = self._stepping.pack(arrays, places, scalars, self._state.refs)
        if self._state.settled and None not in places:
            if len(self._packed) == _REMEMBERED:
                del self._packed[next(iter(self._packed))]
            self._packed[places] = arguments
        return arguments

    def _set_hyperparameters(self, lr: float | None, named: dict[str, Any]) -> None:
        """Check the values for this step, and send those that are not the last step's."""
        alone = not named and (lr is None or type(lr) is float)
        if alone and self._plain == (lr,):
            return
        known = self.metadata.hyperparameters
        if lr is not None:
            named["lr"] = lr
        elif any(h.name == "lr" and h.default is None for h in known):
            named["lr"] = DEFAULT_LEARNING_RATE
        for scalar, value in zip(self._scalars, hyperparameters(known, named), strict=True):
            scalar.set(value)
        self._plain = (lr,) if alone else None

    def _loss(self, results: Any) -> float:
        view = results.get_as_object(0, rt.HalBufferView)
        if self._scalar is None:
            dtype = np.dtype(rt.HalElementType.map_to_dtype(view.element_type))
            self._scalar = self._device.scalar(dtype)
        return self._scalar(view)

    def _converted(self, results: Any, first: int) -> tuple[Array, ...]:
        """Copies of the outputs, which are results from ``first``."""
        specs = enumerate(self.metadata.outputs, first)
        return tuple(fetched(self._device, results.get_as_ref(i), spec) for i, spec in specs)

    def _joined(self, stepped: Stepped) -> tuple[Array, ...]:
        """Copies of a step's outputs."""
        parts = [self._converted(results, stepped.outputs) for results in stepped.parts]
        return parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True)))

    def _outputs_alias(self, arguments: Sequence[Any], stepped: Stepped) -> bool:
        """Whether an output of a step lies in an argument's memory: that of a model that returns its input.

        Such outputs cannot wait to be copied. It is the program's property, so one look is enough.
        """
        if not self._device.shares_memory:
            return False
        taken = [self._range(given.get_as_ref(i)) for given in arguments for i in range(len(given))]
        places = range(stepped.outputs, stepped.outputs + len(self.metadata.outputs))
        outputs = [self._range(part.get_as_ref(i)) for part in stepped.parts for i in places]
        return any(overlaps(output, taken) for output in outputs)

    def _range(self, ref: Any) -> Span:
        return self._device.span(ref.deref(rt.HalBufferView))

    # ---- state ---------------------------------------------------------------------------------------

    def _check_state(self) -> None:
        if self._lost:
            raise PockRuntimeError(
                "a step failed half-way and the state is lost: load a checkpoint or reset()"
            )

    def _close(self) -> None:
        """Let go of all memory that the device knows of; the state is lost."""
        self._lost = True
        self._stepping.close()
        self._state.close()
        self._stepped = self._outputs = None
        self._feeds, self._scalars = [], []
        self._packed.clear()

    def _get_state(self, spec: StateSpec) -> Array:
        return self._state.get(self._states[spec.name])

    def _put_state(self, spec: StateSpec, array: Array) -> None:
        self._packed.clear()
        self._state.put(self._states[spec.name], array)

    @property
    def steps(self) -> int:
        """How many training steps the state has seen: the program's own count if it keeps one."""
        for spec in self.metadata.state:
            if spec.kind == "step":
                return int(self._get_state(spec))
        return self._counted

    def state_dict(self, optimizer: bool = False) -> dict[str, Array]:
        """Copies of what the program trains, under PyTorch's names.

        Parameters and buffers, tied ones under each of their names; frozen parameters are part of the
        program and not in it. With ``optimizer`` also the optimizer's state, the step count and the seed.
        """
        self._check_state()
        arrays = {
            spec.name: self._get_state(spec)
            for spec in self.metadata.state
            if optimizer or spec.kind in MODEL_KINDS
        }
        arrays.update({alias: arrays[name] for alias, name in self.metadata.tied.items()})
        return arrays

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Replace state by arrays under the names that ``state_dict`` gives.

        Parameters and buffers must all be there and nothing unknown, unless ``strict`` is False; optimizer
        state, step count and seed may be left out as one and then stay as they are. The names of a tied
        parameter must agree. Raises ``InputError`` before anything has changed.
        """
        arrays: dict[str, Array] = {}
        for name, value in state.items():
            canonical = self.metadata.tied.get(name, name)
            if canonical not in self._states:
                if strict:
                    raise InputError(f"'{name}' is no parameter or state that the program trains")
                continue
            array = as_array(value, self.metadata.state[self._states[canonical]])
            if canonical in arrays and not np.array_equal(arrays[canonical], array):
                raise InputError(f"'{name}' is tied to '{canonical}' but differs from it")
            arrays[canonical] = array
        if strict:
            self._check_complete(arrays)
        for name, array in arrays.items():
            self._put_state(self.metadata.state[self._states[name]], array)
        self._revive(arrays)

    def _check_complete(self, given: Mapping[str, Array]) -> None:
        optional = any(s.name in given for s in self.metadata.state if s.kind not in MODEL_KINDS)
        for spec in self.metadata.state:
            if spec.name not in given and (optional or spec.kind in MODEL_KINDS):
                raise InputError(f"'{spec.name}' is missing from the state")

    def _revive(self, given: Mapping[str, Array]) -> None:
        self._lost = self._lost and len(given) < len(self._states)
        self._stepped = self._outputs = None

    # ---- checkpoints ---------------------------------------------------------------------------------

    def save(
        self, path: str | Path, extra: Mapping[str, Any] | None = None, check_finite: bool = False
    ) -> None:
        """Write a checkpoint, from which training goes on exactly as if it had not been interrupted.

        ``extra`` is kept with it: anything that JSON holds. The file is written beside ``path``, brought to
        the disk and renamed: whatever happens, ``path`` is the old checkpoint or the new one. Raises
        ``CheckpointError``; with ``check_finite`` also ``TrainingDiverged``, if the state is not finite.
        """
        self._check_state()
        tensors = {spec.name: self._get_state(spec) for spec in self.metadata.state}
        if check_finite:
            _check_finite(tensors)
        state = tuple(describe(spec) for spec in self.metadata.state)
        Checkpoint(self.metadata.model, self.steps, state, tensors, extra or {}).save(Path(path))

    def load_checkpoint(self, path: str | Path) -> Mapping[str, Any]:
        """Replace all state by a checkpoint's; returns its ``extra``.

        Raises ``CheckpointError``, before anything has changed, for one that is damaged or of another
        program.
        """
        checkpoint = Checkpoint.load(Path(path))
        checkpoint.check_fits(self.metadata, Path(path))
        for spec in self.metadata.state:
            tensor = checkpoint.tensors.get(spec.name)
            if tensor is None or tensor.shape != spec.shape or tensor.dtype != spec.dtype:
                raise CheckpointError(f"{path} does not hold '{spec.name}' as {spec}")
        for spec in self.metadata.state:
            self._put_state(spec, checkpoint.tensors[spec.name])
        self._counted = checkpoint.steps
        self._revive(checkpoint.tensors)
        return checkpoint.extra

    @staticmethod
    def restore(
        path: str | Path,
        checkpoint: str | Path,
        device: str | None = None,
        parameters: str | Path | None = None,
    ) -> "Trainer":
        """The program at ``path`` with a checkpoint's state.

        Raises what the constructor and ``load_checkpoint`` raise.
        """
        trainer = Trainer(path, device, parameters)
        trainer.load_checkpoint(checkpoint)
        return trainer


class _Scalar:
    """A hyperparameter on the device."""

    def __init__(self, feed: Feed) -> None:
        self.view: Any = None
        self._feed = feed
        self._value: float | None = None

    def set(self, value: float) -> None:
        if value != self._value:
            self.view = self._feed.stage(np.asarray(value, np.float32))
            self._value = value


def _check_finite(tensors: Mapping[str, Array]) -> None:
    for name, array in tensors.items():
        # Floats, ml_dtypes' (of kind V) included.
        if array.dtype.kind in "fV" and not np.isfinite(array).all():
            raise TrainingDiverged(f"'{name}' has values that are not finite")


_OPEN: "weakref.WeakSet[Trainer]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close the trainers that there still are.

    The interpreter takes down what is in a cycle in any order, and IREE crashes where memory goes after its
    device.
    """
    for trainer in list(_OPEN):
        trainer._close()
