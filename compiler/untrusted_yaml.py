# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reading small YAML files that come from anywhere.

Of YAML there is what JSON has, in YAML's spelling: mappings with distinct string keys, sequences, strings,
numbers, ``true``, ``false`` and ``null``. Anchors, aliases and tags are errors; size and nesting are limited.
"""

import re
from typing import Any

import yaml

#: Bytes that are read; the files in question are a hundredth of it.
SIZE_LIMIT = 256 * 1024
#: How deep collections may nest.
DEPTH_LIMIT = 20

_NO_ALIASES = "anchors and aliases are not allowed; a value that begins with * or & needs quotes"


class YamlError(ValueError):
    """The text is not the YAML that is allowed here: one line, with source, line and column."""


class _Loader(yaml.SafeLoader):
    """Core values, every key a string and there once.

    PyYAML's resolvers are those of YAML 1.1, where ``8:24`` is the number 504.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:  # type: ignore[override]
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a string", key_node.start_mark
                )
            if key in result:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key[:60]}' stands here a second time", key_node.start_mark
                )
            result[key] = self.construct_object(value_node, deep=True)
        return result

    def construct_yaml_map(self, node: yaml.MappingNode) -> Any:
        return self.construct_mapping(node)


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_yaml_map)
for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?(0|[1-9][0-9]{0,17})", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,4})?", "-+0123456789."),
    ("null", r"~|null|", ["~", "n", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


def load_yaml(text: str, source: str) -> Any:
    """One YAML document as Python values, from a source that is not trusted; raises ``YamlError``."""
    if len(text.encode("utf-8", "replace")) > SIZE_LIMIT:
        raise YamlError(f"{source}: larger than {SIZE_LIMIT // 1024} KiB")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise YamlError(f"{_at(source, event.start_mark)}: {_NO_ALIASES}")
            if getattr(event, "tag", None) is not None:
                raise YamlError(f"{_at(source, event.start_mark)}: tags are not allowed")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_LIMIT:
                raise YamlError(f"{_at(source, event.start_mark)}: nested more than {DEPTH_LIMIT} deep")
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        scanned_alias = (error.context or "").endswith(("an alias", "an anchor"))
        reason = _NO_ALIASES if scanned_alias else " ".join((error.problem or str(error)).split())
        raise YamlError(f"{_at(source, error.problem_mark)}: {reason}") from None
    except yaml.YAMLError as error:
        raise YamlError(f"{source}: {' '.join(str(error).split())}") from None


def _at(source: str, mark: Any) -> str:
    return source if mark is None else f"{source}:{mark.line + 1}:{mark.column + 1}"
