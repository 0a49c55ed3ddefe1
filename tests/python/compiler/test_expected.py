# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Diagnostics against the comments that foretell them."""

import pytest

from pock.compiler.expected import check


@pytest.mark.parametrize(
    ("text", "diagnostics"),
    [
        ("", []),
        ("op // expected-error {{bad}}", ["f:1:4: error: very bad op"]),
        ("// expected-error@+1 {{bad}}\nop", ["f:2:1: error: bad"]),
        ("op\n// expected-note@-1 {{bad}}", ["f:1:1: note: bad"]),
        (
            "// expected-error@below {{a}}\n// expected-note@below {{b}}\n",
            ["f:3:1: note: b", "f:3:1: error: a"],
        ),
        (
            "op\n// expected-error@above {{a}}\n// expected-note@above {{b}}",
            ["f:1:1: error: a", "f:1:9: note: b"],
        ),
        ("// expected-error@+1 {{a}}\n// expected-error@+0 {{a}}", ["f:2:1: error: a", "f:2:1: error: a"]),
        ("// expected-error-re@below {{a.c {{[0-9]+}}!}}\nop", ["f:2:1: error: a.c 42!"]),
        ("// expected-error@unknown {{lost}}", ["unknown: error: lost"]),
        ("// expected-error@unknown {{lost}}", ["error: lost"]),
        ("// expected-error@unknown {{elsewhere}}", ["other:1:1: error: elsewhere"]),
        ("// expected-error@below {{first}}\nop", ["f:2:1: error: first\nand a second line: with a colon"]),
    ],
)
def test_what_is_foretold_is_no_problem(text: str, diagnostics: list[str]) -> None:
    assert check(text, diagnostics, "f") == []


@pytest.mark.parametrize(
    ("text", "diagnostics", "problem"),
    [
        ("op", ["f:1:4: error: bad"], "f:1:1: error: unexpected error: bad"),
        ("op", ["error: bad"], "f: error: unexpected error: bad"),
        ("op // expected-error {{bad}}", [], 'f:1:1: error: expected error "bad" was not produced'),
        ("// expected-error {{a}}", 2 * ["f:1:1: error: a"], "f:1:1: error: unexpected error: a"),
        ("op // expected-error {{a}} and more", ["f:1:1: error: a"], "f:1:1: error: unexpected error: a"),
    ],
)
def test_the_rest_is(text: str, diagnostics: list[str], problem: str) -> None:
    assert check(text, diagnostics, "f") == [problem]


@pytest.mark.parametrize(
    ("comment", "diagnostic"),
    [
        ("// expected-error@below {{a.c}}", "f:2:1: error: abc"),
        ("// expected-error-re@below {{a.c {{[0-9]+}}}}", "f:2:1: error: abc 1"),
        ("// expected-error@below {{a}}", "f:2:1: warning: a"),
        ("// expected-error@below {{a}}", "f:3:1: error: a"),
        ("// expected-error@below {{a}}", "g:2:1: error: a"),
    ],
)
def test_text_severity_line_and_file_must_agree(comment: str, diagnostic: str) -> None:
    assert len(check(f"{comment}\nop\nop", [diagnostic], "f")) == 2


def test_lines_count_from_the_beginning_of_the_file() -> None:
    assert check("// expected-error@+1 {{a}}\nop", ["f:12:1: error: a"], "f", first_line=11) == []
