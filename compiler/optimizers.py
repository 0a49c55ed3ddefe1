# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Optimizers and their hyper-parameters; ``sparsebp-expand-optimizer`` turns them into arithmetic.

SGD, Adam and AdamW mean what they mean in ``torch.optim``, Lion what it means in Chen et al., "Symbolic
Discovery of Optimization Algorithms" (NeurIPS 2023). The learning rate is an input of every training step.
The other hyper-parameters are constants of the compiled program, or inputs too where ``runtime`` names them.
"""

import dataclasses
import difflib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .errors import PockError


class OptimizerError(PockError):
    """A mistake in an optimizer's name or hyper-parameters."""


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """What every optimizer has.

    ``clip_grad_norm`` scales all gradients of a step so that their common 2-norm, over what the scheme
    trains, is at most that (``torch.nn.utils.clip_grad_norm_``). ``runtime`` names the hyper-parameters
    that a training step takes as inputs, in this order behind the learning rate; the value given here is
    then only the default. Raises ``OptimizerError`` for a value outside the range that PyTorch allows.
    """

    name: ClassVar[str]
    """The name in the textual form."""

    tunable: ClassVar[tuple[str, ...]]
    """The numbers among the hyper-parameters, which ``runtime`` may name; betas are ``beta1``, ``beta2``."""

    clip_grad_norm: float | None = None
    runtime: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _typed(self.name, field.name, field.default, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        for value_name in self.tunable:
            value = self.value(value_name)
            if value is not None and value < 0:
                raise self._error(f"{value_name} must not be negative, got {value:g}")
        if self.clip_grad_norm == 0:
            raise self._error("clip_grad_norm must be above 0 (leave it out not to clip), got 0")
        for i, value_name in enumerate(self.runtime):
            if value_name not in self.tunable:
                allowed = ", ".join(self.tunable)
                raise self._error(
                    f"runtime names '{value_name}'; it may name {allowed} (lr always is an input)"
                )
            if value_name in self.runtime[:i]:
                raise self._error(f"runtime names '{value_name}' twice")
            if self.value(value_name) is None:
                raise self._error(f"runtime names '{value_name}', so it needs a value, the default")
        self.validate()

    @abstractmethod
    def validate(self) -> None:
        """Check what concerns this optimizer alone."""

    def _error(self, message: str) -> OptimizerError:
        return OptimizerError(f"optimizer {self.name}: {message}")

    def value(self, name: str) -> float | None:
        """The value of one of ``tunable``."""
        if name in ("beta1", "beta2"):
            betas: tuple[float, float] = getattr(self, "betas")  # noqa: B009
            return betas[int(name[-1]) - 1]
        value: float | None = getattr(self, name)
        return value

    def used(self, name: str) -> bool:
        """Whether a hyper-parameter for which 0 means "off" is on, or may be turned on at run time."""
        return name in self.runtime or bool(self.value(name))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of a training step's inputs, in order: ``lr`` and ``runtime``."""
        return ("lr", *self.runtime)

    def to_dict(self) -> dict[str, Any]:
        """``{"name": …, hyper-parameter: value, …}``, of plain Python values."""
        values = dataclasses.asdict(self)
        return {"name": self.name} | {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def to_string(self) -> str:
        """The textual form, which ``parse_optimizer`` reads: what differs from the defaults."""
        changed = [
            f"{field.name}={_text(getattr(self, field.name))}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
        return ":".join([self.name, ",".join(changed)]) if changed else self.name


def _betas_below_one(optimizer: "Adam | Lion") -> None:
    for i, beta in enumerate(optimizer.betas):
        if beta >= 1:
            raise optimizer._error(f"beta{i + 1} must be in [0, 1), got {beta:g}")


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Stochastic gradient descent, as ``torch.optim.SGD``."""

    name: ClassVar[str] = "sgd"
    tunable: ClassVar[tuple[str, ...]] = ("momentum", "dampening", "weight_decay", "clip_grad_norm")

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def validate(self) -> None:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0 or "dampening" in self.runtime):
            raise self._error("nesterov needs a momentum above 0 and no dampening")


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adam with weight decay added to the gradient, as ``torch.optim.Adam``."""

    name: ClassVar[str] = "adam"
    tunable: ClassVar[tuple[str, ...]] = ("beta1", "beta2", "eps", "weight_decay", "clip_grad_norm")
    decoupled_weight_decay: ClassVar[bool] = False

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False

    def validate(self) -> None:
        _betas_below_one(self)


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with weight decay of its own (Loshchilov and Hutter, 2019), as ``torch.optim.AdamW``."""

    name: ClassVar[str] = "adamw"
    decoupled_weight_decay: ClassVar[bool] = True

    weight_decay: float = 1e-2


@dataclass(frozen=True, kw_only=True)
class Lion(Optimizer):
    """Lion (Chen et al., 2023): the sign of an interpolated momentum, with decoupled weight decay."""

    name: ClassVar[str] = "lion"
    tunable: ClassVar[tuple[str, ...]] = ("beta1", "beta2", "weight_decay", "clip_grad_norm")

    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0

    def validate(self) -> None:
        _betas_below_one(self)


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.name: kind for kind in (SGD, Adam, AdamW, Lion)}


def _typed(owner: str, name: str, default: Any, value: Any) -> Any:
    """``value`` in the type of ``default`` (floats where that is None); raises ``OptimizerError``."""
    wanted: str
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        wanted = "true or false"
    elif name == "runtime":
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            return tuple(value)
        wanted = "names of hyper-parameters"
    elif isinstance(default, tuple):
        if isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value)):
            return tuple(float(v) for v in value)
        wanted = "two numbers"
    else:
        if value is None and default is None:
            return None
        if _is_number(value):
            return float(value)
        wanted = "a number"
    raise OptimizerError(f"optimizer {owner}: {name} must be {wanted}, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def make_optimizer(values: Mapping[str, Any]) -> Optimizer:
    """The optimizer of a dictionary as ``Optimizer.to_dict`` gives it; raises ``OptimizerError``."""
    name = values.get("name")
    kind = OPTIMIZERS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise OptimizerError(f"no optimizer is named {name!r}; there are {', '.join(OPTIMIZERS)}")
    known = [field.name for field in dataclasses.fields(kind)]
    arguments = {key: value for key, value in values.items() if key != "name"}
    for key in arguments:
        if key == "lr":
            raise OptimizerError(
                f"optimizer {name}: lr is not fixed here; every training step takes it as input"
            )
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise OptimizerError(f"optimizer {name}: no hyper-parameter is named {key!r}; {hint}")
    return kind(**arguments)


def parse_optimizer(text: str) -> Optimizer:
    """The optimizer of ``name`` or ``name:key=value,…``; raises ``OptimizerError``.

    Values are numbers, ``true``, ``false``, ``none``, and lists in parentheses or joined with ``+``:
    ``adamw:betas=(0.9,0.95),weight_decay=0.05,clip_grad_norm=1,runtime=weight_decay+beta1``.
    """
    name, _, rest = text.strip().partition(":")
    values: dict[str, Any] = {"name": name.lower()}
    for item in _items(rest):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not key or not value:
            raise OptimizerError(f"optimizer {text!r}: expected name=value, got {item!r}")
        if key in values:
            raise OptimizerError(f"optimizer {text!r}: {key} is given twice")
        values[key] = _value(value, is_list=key in ("betas", "runtime"))
    return make_optimizer(values)


def _items(text: str) -> Iterator[str]:
    """What stands between the commas outside parentheses."""
    for match in re.finditer(r"(?:\([^()]*\)|[^,])+", text):
        yield match[0].strip()


def _value(text: str, is_list: bool = False) -> Any:
    if is_list:
        inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
        return tuple(_value(part.strip()) for part in re.split(r"[,+]", inner) if part.strip())
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({','.join(map(_text, value))})"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
