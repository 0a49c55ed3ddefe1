# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Update schemes: which parameters, and which channels of them, a training step may change.

A scheme is a list of rules, usually a YAML file; of the rules that match a parameter the last one counts,
and a parameter that no rule matches is frozen::

    version: 1
    rules:
      - {match: "*",                      update: none}
      - {match: "blocks.1[0-5].*.bias",   update: full}
      - {match: "blocks.12.expand.weight", update: {channels: 0.5}}
      - {match: "blocks.13.expand.weight", update: {channels: "8:24"}}
      - {match: "blocks.14.expand.weight", update: {channels: [0, 3, 7]}}
      - {match: "classifier.*",           update: full}

``match`` is a shell glob (``*``, ``?``, ``[…]``; case counts, ``*`` crosses dots) over PyTorch's parameter
names. ``update`` is ``none``, ``full`` or ``{channels: …}``, along the dimension that the parameter's use
gives it (input channels of a convolution or linear layer, channels of a depthwise convolution, rows of an
embedding, the elements of a vector):

* a number is a *ratio* in (0, 1]: of ``n`` channels the first ``ceil(ratio * n)``, so at least one; the
  product is exact for the decimal as written (0.1 of 30 channels is 3);
* ``"begin:end"`` or ``{range: [begin, end]}`` is the *range* ``[begin, end)``;
* ``[c0, c1, …]`` is a *list* of distinct channels, in any order.
"""

import difflib
import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from pock.dialects.sparsebp import Mask

from .errors import PockError
from .untrusted_yaml import SIZE_LIMIT, YamlError, load_yaml


class SchemeError(PockError):
    """A mistake in a scheme: one line with the file, the rule's number (from 1) and its pattern."""


@dataclass(frozen=True)
class ParameterInfo:
    """What a scheme has to know of a parameter.

    ``channel_dimension`` is the one of ``dimensions`` that channels are counted along, None where there is
    none; ``has_gradient`` says whether the loss depends on the parameter.
    """

    shape: tuple[int, ...]
    dimensions: tuple[str, ...]
    channel_dimension: str | None = None
    has_gradient: bool = True


class _Model(pydantic.BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Span(_Model):
    """The channels ``[begin, end)``."""

    begin: int
    end: int


def _channels(value: Any) -> float | Span | tuple[int, ...]:
    """Ratio, range or list from what stands behind ``channels:``."""
    if isinstance(value, Span):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value <= 1:
            hint = f" (one channel is the list [{value}])" if _is_index(value) else ""
            raise PydanticCustomError(
                "ratio", f"the ratio must be in (0, 1], got {{value}}{hint}", {"value": _shown(value)}
            )
        return float(value)
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,18}):([0-9]{1,18})", value.strip())):
        return _span((int(match[1]), int(match[2])))
    if isinstance(value, Mapping) and set(value) == {"range"}:
        return _span(value["range"])
    if isinstance(value, list | tuple):
        return _list(value)
    raise PydanticCustomError(
        "channels",
        'must be a ratio in (0, 1], a range "begin:end" or {range: [begin, end]}, or a list of channels, '
        "got {value}",
        {"value": _shown(value)},
    )


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _span(ends: Any) -> Span:
    if isinstance(ends, list | tuple) and len(ends) == 2 and all(map(_is_index, ends)) and ends[0] < ends[1]:
        return Span(begin=ends[0], end=ends[1])
    shown = f"{ends[0]}:{ends[1]}" if isinstance(ends, tuple) else _shown(ends)
    raise PydanticCustomError(
        "range", "a range is two channels with 0 <= begin < end, got {value}", {"value": shown}
    )


def _list(values: Sequence[Any]) -> tuple[int, ...]:
    for value in values:
        if not _is_index(value):
            raise PydanticCustomError(
                "list", "a list holds channels, 0 or above, got {value}", {"value": _shown(value)}
            )
    if not values:
        raise PydanticCustomError("list", "the list of channels is empty; to freeze, say update: none")
    channels = tuple(sorted(values))
    for channel, following in itertools.pairwise(channels):
        if channel == following:
            raise PydanticCustomError("list", "channel {value} is listed twice", {"value": channel})
    return channels


class Channels(_Model):
    """Updates some channels: the first part of them (a ratio), a span, or those listed."""

    channels: Annotated[float | Span | tuple[int, ...], BeforeValidator(_channels)]


Update = Annotated[
    Annotated[Literal["none", "full"], Tag("word")] | Annotated[Channels, Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, Mapping | Channels) else "word"),
]


class Rule(_Model):
    """What happens to the parameters whose names ``match`` matches."""

    match: Annotated[str, Field(min_length=1)]
    update: Update

    def matches(self, name: str) -> bool:
        return fnmatchcase(name, self.match)


def _version(value: Any) -> int:
    if type(value) is not int or value != 1:
        raise PydanticCustomError("version", "must be 1, got {value}", {"value": _shown(value)})
    return value


class Scheme(_Model):
    """An update scheme. Make one with ``from_file``, ``from_yaml``, ``from_dict`` or a ready-made one.

    Schemes with the same rules are equal, wherever they were read from.
    """

    version: Annotated[Literal[1], BeforeValidator(_version)]
    rules: tuple[Rule, ...]
    _source: str = pydantic.PrivateAttr("scheme")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scheme) and self.rules == other.rules

    def __hash__(self) -> int:
        return hash(self.rules)

    @property
    def source(self) -> str:
        """Where the scheme comes from: the file that errors name, or ``scheme``."""
        return self._source

    @classmethod
    def from_file(cls, path: str | Path) -> "Scheme":
        """Read a YAML file; raises ``SchemeError``."""
        try:
            with Path(path).open("rb") as file:
                data = file.read(SIZE_LIMIT + 1)
        except OSError as error:
            raise SchemeError(f"cannot read scheme {path}: {error.strerror or error}") from None
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if len(data) <= SIZE_LIMIT:
                raise SchemeError(f"{path}: not UTF-8 text (byte {error.start})") from None
            text = " " * len(data)  # too long anyway; the cut may have split a character
        return cls.from_yaml(text, source=str(path))

    @classmethod
    def from_yaml(cls, text: str, source: str = "scheme") -> "Scheme":
        """Read YAML (or JSON) text; ``source`` is what errors call it."""
        try:
            document = load_yaml(text, source)
        except YamlError as error:
            raise SchemeError(str(error)) from None
        return cls.from_dict(document, source)

    @classmethod
    def from_dict(cls, document: Any, source: str = "scheme") -> "Scheme":
        """Check a document as ``to_dict`` gives it; raises ``SchemeError``."""
        if isinstance(document, Mapping) and isinstance(document.get("rules"), list):
            document = {**document, "rules": tuple(document["rules"])}
        try:
            scheme = cls.model_validate(document)
        except pydantic.ValidationError as error:
            raise SchemeError(f"{source}: {_explain(error, document)}") from None
        scheme._source = source
        return scheme

    def to_dict(self) -> dict[str, Any]:
        """The document as plain Python values."""
        return {"version": 1, "rules": [{"match": r.match, "update": _plain(r.update)} for r in self.rules]}

    def to_yaml(self) -> str:
        """The document as YAML, one rule a line."""
        lines = [f"  - {json.dumps(rule, ensure_ascii=False)}" for rule in self.to_dict()["rules"]]
        return "\n".join(["version: 1", "rules:", *lines] if lines else ["version: 1", "rules: []"]) + "\n"

    def fingerprint(self) -> str:
        """SHA-256 over the rules, in hexadecimal: the same on every machine and for every spelling."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def _of(cls, *rules: tuple[str, str]) -> "Scheme":
        return cls.from_dict({"version": 1, "rules": [{"match": m, "update": u} for m, u in rules]})

    @classmethod
    def full(cls) -> "Scheme":
        """Every parameter is trained."""
        return cls._of(("*", "full"))

    @classmethod
    def none(cls) -> "Scheme":
        """Nothing is trained."""
        return cls._of(("*", "none"))

    @classmethod
    def last_layer(cls, *patterns: str) -> "Scheme":
        """Only what ``patterns`` match is trained, e.g. ``Scheme.last_layer("classifier.*")``."""
        return cls._of(("*", "none"), *((pattern, "full") for pattern in patterns))

    @classmethod
    def bias_only(cls, *patterns: str) -> "Scheme":
        """Every parameter whose name ends in ``bias`` is trained, and whatever ``patterns`` match besides."""
        return cls._of(("*", "none"), ("*bias", "full"), *((pattern, "full") for pattern in patterns))

    def resolve(self, parameters: Mapping[str, ParameterInfo]) -> dict[str, Mask]:
        """The mask of each of ``parameters``.

        Raises ``SchemeError`` where a rule matches no parameter, where channels do not fit the parameter
        or it has no channel dimension, and where a rule trains what the loss does not depend on. The last
        is forgiven to a pattern with wildcards that also matches a parameter with a gradient: that
        parameter stays frozen.
        """
        chosen: dict[str, int] = {}
        trainable: list[bool] = []
        for number, rule in enumerate(self.rules):
            matched = [name for name in parameters if rule.matches(name)]
            if not matched:
                raise self._error(number, f"matches no parameter; {_nearest(rule.match, list(parameters))}")
            trainable.append(any(parameters[name].has_gradient for name in matched))
            chosen.update(dict.fromkeys(matched, number))
        masks = dict.fromkeys(parameters, Mask.none())
        for name, number in chosen.items():
            rule, info = self.rules[number], parameters[name]
            if rule.update == "none":
                continue
            if not info.has_gradient:
                if trainable[number] and re.search(r"[*?[]", rule.match):
                    continue
                raise self._error(number, f"trains '{name}', but the loss does not depend on it")
            masks[name] = Mask.full() if rule.update == "full" else self._slice(number, name, info)
        return masks

    def _slice(self, number: int, name: str, info: ParameterInfo) -> Mask:
        update = self.rules[number].update
        assert isinstance(update, Channels)
        if info.channel_dimension is None:
            raise self._error(
                number, f"'{name}' of shape {list(info.shape)} has no channels to choose; use full or none"
            )
        size = info.shape[info.dimensions.index(info.channel_dimension)]
        chosen: Sequence[int]
        if isinstance(update.channels, float):
            chosen = range(math.ceil(Fraction(repr(update.channels)) * size))
        elif isinstance(update.channels, Span):
            chosen = range(update.channels.begin, update.channels.end)
        else:
            chosen = update.channels
        if chosen[-1] >= size:
            wrong = next(c for c in (chosen[0], chosen[-1]) if c >= size)
            raise self._error(
                number,
                f"channel {wrong} is out of range: '{name}' has {size} {_words(info.channel_dimension)}",
            )
        return Mask.channels(info.channel_dimension, chosen, size)

    def _error(self, number: int, message: str) -> SchemeError:
        return SchemeError(f"{self.source}: {_rule(number, self.rules[number].match)}: {message}")


def _words(dimension: str) -> str:
    return dimension.replace("_", " ")


def _plain(update: Any) -> Any:
    if isinstance(update, Channels):
        channels = update.channels
        if isinstance(channels, Span):
            return {"channels": {"range": [channels.begin, channels.end]}}
        return {"channels": channels if isinstance(channels, float) else list(channels)}
    return update


def _nearest(pattern: str, names: list[str]) -> str:
    if not names:
        return "the program has no parameters"
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
    if near:
        return f"the nearest are {', '.join(near)}"
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"the parameters are {shown}"


def _shown(value: Any) -> str:
    """A value on one line, cut short."""
    text = json.dumps(value, default=repr, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "..."


def _rule(number: int, pattern: Any) -> str:
    return f"rule {number + 1} ({_shown(pattern)})" if pattern is not None else f"rule {number + 1}"


def _explain(error: pydantic.ValidationError, document: Any) -> str:
    """The first mistake that pydantic found, as one line: rule and pattern, path, what is wrong."""
    # A misspelt key is also a missing one: the misspelling is what to say.
    mistakes = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    mistake = mistakes[0]
    path: list[Any] = [part for part in mistake["loc"] if part not in ("word", "mapping")]
    kind, value = mistake["type"], mistake["input"]
    context = path[:-1] if kind in ("missing", "extra_forbidden") else path
    if kind == "missing":
        message = f"'{path[-1]}' is missing"
    elif kind == "extra_forbidden":
        allowed = ", ".join(_ALLOWED[len(context)])
        message = f"unknown key {_shown(path[-1])}; allowed: {allowed}"
    elif path and path[-1] == "update" and kind == "literal_error":
        message = f"must be none, full or {{channels: …}}, got {_shown(value)}"
    elif kind == "literal_error":
        message = f"must be {mistake['ctx']['expected']}, got {_shown(value)}"
    elif kind in _WANTED:
        message = f"must be {_WANTED[kind]}, got {_shown(value)}"
    else:
        message = mistake["msg"]
    where = []
    if len(context) >= 2:
        rule = document["rules"][context[1]]
        where.append(_rule(context[1], rule.get("match") if isinstance(rule, Mapping) else None))
        context = context[2:]
    if context:
        where.append(".".join(str(part) for part in context))
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return ": ".join([*where, message]) + more


#: allowed keys by the length of the path to the mapping they stand in
_ALLOWED = {0: ("version", "rules"), 2: ("match", "update"), 3: ("channels",)}
#: what was wanted, by the kind of pydantic's error
_WANTED = {
    "model_type": "a mapping", "model_attributes_type": "a mapping", "tuple_type": "a list",
    "string_type": "a string", "string_too_short": "a pattern",
}  # fmt: skip
