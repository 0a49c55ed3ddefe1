# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``expected-error`` comments: checking the diagnostics of a program against what its text foretells.

The notation is mlir-opt's::

    // expected-error@+1 {{substring of the message}}
    // expected-note@above {{…}}
    // expected-warning-re@below {{literal, then {{[0-9]+}} as a regular expression}}

``@+N`` and ``@-N`` count lines; ``@above`` and ``@below`` are the nearest lines without such a comment;
``@unknown`` is a diagnostic with no place in the file; without any, it is the comment's own line.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

_COMMENT = re.compile(
    r"expected-(?P<severity>error|note|remark|warning)(?P<regex>-re)? *"
    r"(?:@(?P<where>[+-][0-9]+|above|below|unknown))? *\{\{(?P<text>.*)\}\}\s*$"
)
_DIAGNOSTIC = re.compile(
    r"(?:(?P<file>.*?):(?P<line>\d+):\d+: |[^\n]*?: |)"
    r"(?P<severity>error|note|remark|warning): (?P<message>.*)",
    re.DOTALL,
)


@dataclass
class _Expectation:
    comment_line: int
    severity: str
    text: str
    is_regex: bool
    line: int | None
    """Where the diagnostic is; None for one without a place in the file."""
    met: bool = field(default=False)

    def matches(self, severity: str, line: int | None, message: str) -> bool:
        return (
            severity == self.severity
            and line == self.line
            and re.search(self._pattern(), message) is not None
        )

    def _pattern(self) -> str:
        if not self.is_regex:
            return re.escape(self.text)
        literal_and_regex = re.split(r"\{\{(.*?)\}\}", self.text)
        return "".join(
            f"(?:{part})" if i % 2 else re.escape(part) for i, part in enumerate(literal_and_regex)
        )


def _expectations(text: str, first_line: int) -> Iterator[_Expectation]:
    lines = text.split("\n")
    bare = [i for i, line in enumerate(lines) if not _COMMENT.search(line)]
    for i, line in enumerate(lines):
        if (found := _COMMENT.search(line)) is None:
            continue
        where = found["where"]
        if where == "above":
            place = max((b for b in bare if b < i), default=i)
        elif where == "below":
            place = min((b for b in bare if b > i), default=i)
        else:
            place = i + (int(where) if where and where != "unknown" else 0)
        yield _Expectation(
            first_line + i,
            found["severity"],
            found["text"],
            found["regex"] is not None,
            None if where == "unknown" else first_line + place,
        )


def check(text: str, diagnostics: Iterable[str], source: str, first_line: int = 1) -> Sequence[str]:
    """What differs between ``diagnostics`` and the comments in ``text``, as error lines; empty if equal.

    ``diagnostics`` are ``file:line:column: severity: message``; ``source`` is the file that ``text`` comes
    from, beginning with its line ``first_line``.
    """
    expected = list(_expectations(text, first_line))
    problems = []
    for diagnostic in diagnostics:
        found = _DIAGNOSTIC.fullmatch(diagnostic)
        if found is None:
            problems.append(f"{source}: error: unexpected: {diagnostic}")
            continue
        line = int(found["line"]) if found["file"] == source else None
        met = next(
            (e for e in expected if not e.met and e.matches(found["severity"], line, found["message"])), None
        )
        if met is not None:
            met.met = True
        else:
            place = f"{source}:{line}:1" if line else source
            problems.append(f"{place}: error: unexpected {found['severity']}: {found['message']}")
    problems += [
        f'{source}:{e.comment_line}:1: error: expected {e.severity} "{e.text}" was not produced'
        for e in expected
        if not e.met
    ]
    return problems
