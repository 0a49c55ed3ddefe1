# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Update schemes: reading them, what is said about mistakes, and the masks that come out."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pock.compiler.scheme import ParameterInfo, Scheme, SchemeError
from pock.compiler.untrusted_yaml import SIZE_LIMIT
from pock.dialects.sparsebp import Mask, MaskKind

CONV = ("output_channels", "input_channels", "kernel_height", "kernel_width")
PARAMETERS = {
    "blocks.9.expand.weight": ParameterInfo((8, 10, 1, 1), CONV, "input_channels"),
    "blocks.9.expand.bias": ParameterInfo((8,), ("channels",), "channels"),
    "blocks.12.expand.weight": ParameterInfo((8, 30, 1, 1), CONV, "input_channels"),
    "blocks.12.expand.bias": ParameterInfo((8,), ("channels",), "channels"),
    "embedding": ParameterInfo((20, 4), ("rows", "width"), "rows"),
    "scale": ParameterInfo((), ()),
    "classifier.weight": ParameterInfo((3, 8), ("output_channels", "input_channels"), "input_channels"),
    "classifier.bias": ParameterInfo((3,), ("channels",), "channels"),
    "unused.bias": ParameterInfo((3,), ("channels",), "channels", has_gradient=False),
}


def scheme(*rules: tuple[str, Any]) -> Scheme:
    return Scheme.from_dict({"version": 1, "rules": [{"match": m, "update": u} for m, u in rules]})


def trained(masks: dict[str, Mask]) -> set[str]:
    return {name for name, mask in masks.items() if mask.kind is not MaskKind.NONE}


def message(text: str) -> str:
    """The error that a scheme's text gives, which is one line."""
    with pytest.raises(SchemeError) as caught:
        Scheme.from_yaml(text, "s.yaml").resolve(PARAMETERS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def one_rule(update: str, match: str = "classifier.weight") -> str:
    return message(f"version: 1\nrules:\n  - {{match: '{match}', update: {update}}}\n")


def test_the_design_s_example() -> None:
    masks = Scheme.from_yaml("""
        version: 1
        rules:
          - {match: "*",                        update: none}
          - {match: "blocks.1[0-5].*.bias",     update: full}
          - {match: "blocks.12.expand.weight",  update: {channels: 0.5}} # first half
          - {match: "classifier.*",             update: full}
    """).resolve(PARAMETERS)
    assert masks == dict.fromkeys(PARAMETERS, Mask.none()) | {
        "blocks.12.expand.bias": Mask.full(),
        "blocks.12.expand.weight": Mask(MaskKind.RANGE, "input_channels", (0, 15)),
        "classifier.weight": Mask.full(),
        "classifier.bias": Mask.full(),
    }


def test_later_rules_win_and_unmatched_parameters_are_frozen() -> None:
    rules = [("classifier.*", "full"), ("classifier.bias", "none"), ("*.12.*", {"channels": 0.1})]
    masks = scheme(*rules).resolve(PARAMETERS)
    assert trained(masks) == {"classifier.weight", "blocks.12.expand.weight", "blocks.12.expand.bias"}
    assert trained(scheme(*reversed(rules)).resolve(PARAMETERS)) > {"classifier.bias"}


def test_patterns_are_case_sensitive() -> None:
    assert 'rule 1 ("Classifier.*")' in one_rule("full", "Classifier.*")


@pytest.mark.parametrize(
    ("spelling", "mask"),
    [
        ("{channels: 0.5}", Mask(MaskKind.RANGE, "input_channels", (0, 15))),
        ("{channels: 1e-1}", Mask(MaskKind.RANGE, "input_channels", (0, 3))),
        ("{channels: 0.001}", Mask(MaskKind.RANGE, "input_channels", (0, 1))),
        ("{channels: 1}", Mask.full()),
        ("{channels: 1.0}", Mask.full()),
        ("{channels: {range: [8, 24]}}", Mask(MaskKind.RANGE, "input_channels", (8, 24))),
        ("{channels: 8:24}", Mask(MaskKind.RANGE, "input_channels", (8, 24))),
        ('{channels: "0:30"}', Mask.full()),
        ("{channels: [7, 0, 3]}", Mask(MaskKind.LIST, "input_channels", (0, 3, 7))),
        ("{channels: [5, 4]}", Mask(MaskKind.RANGE, "input_channels", (4, 6))),
        ("{channels: [0, 16]}", Mask(MaskKind.LIST, "input_channels", (0, 16))),
        ("full", Mask.full()),
        ("none", Mask.none()),
    ],
)
def test_spellings(spelling: str, mask: Mask) -> None:
    text = f"version: 1\nrules: [{{match: blocks.12.expand.weight, update: {spelling}}}]"
    read = Scheme.from_yaml(text)
    assert read.resolve(PARAMETERS)["blocks.12.expand.weight"] == mask
    assert Scheme.from_yaml(read.to_yaml()) == read == Scheme.from_dict(read.to_dict())
    assert Scheme.from_yaml(read.to_yaml()).fingerprint() == read.fingerprint()


@given(st.decimals(0, 1, places=4).filter(bool), st.integers(1, 4096))
def test_a_ratio_is_exact_for_its_decimal_and_keeps_at_least_one_channel(ratio: Any, size: int) -> None:
    masks = scheme(("w", {"channels": float(ratio)})).resolve({"w": ParameterInfo((size,), ("c",), "c")})
    expected = math.ceil(Fraction(ratio) * size)
    kept = size if masks["w"].kind is MaskKind.FULL else masks["w"].count()
    assert kept == expected >= 1


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ("half", 'update: must be none, full or {channels: …}, got "half"'),
        ("null", "update: must be none, full or {channels: …}, got null"),
        ("{channels: 0}", "update.channels: the ratio must be in (0, 1], got 0"),
        ("{channels: 1.5}", "update.channels: the ratio must be in (0, 1], got 1.5"),
        ("{channels: -0.5}", "update.channels: the ratio must be in (0, 1], got -0.5"),
        ("{channels: 4}", "update.channels: the ratio must be in (0, 1], got 4 (one channel is the list"),
        ("{channels: true}", "update.channels: must be a ratio in (0, 1], a range"),
        ("{channels: .nan}", "update.channels: must be a ratio in (0, 1], a range"),
        ("{channels: []}", "update.channels: the list of channels is empty"),
        ("{channels: [1, 1]}", "update.channels: channel 1 is listed twice"),
        ("{channels: [-1]}", "update.channels: a list holds channels, 0 or above, got -1"),
        ("{channels: [0.5]}", "update.channels: a list holds channels, 0 or above, got 0.5"),
        ("{channels: 3:3}", "update.channels: a range is two channels with 0 <= begin < end, got 3:3"),
        ("{channels: {range: [3]}}", "update.channels: a range is two channels with 0 <= begin < end"),
        ("{channels: {rang: [3, 5]}}", 'update.channels: must be a ratio in (0, 1], a range "begin:end" or'),
        ("{channel: 0.5}", 'update: unknown key "channel"; allowed: channels'),
        ("{channels: 0.5, of: x}", 'update: unknown key "of"; allowed: channels'),
        ("{}", "update: 'channels' is missing"),
        ("{channels: 0:99}", "channel 98 is out of range: 'classifier.weight' has 8 input channels"),
        ("{channels: 99:100}", "channel 99 is out of range: 'classifier.weight' has 8 input channels"),
        ("{channels: [2, 8]}", "channel 8 is out of range: 'classifier.weight' has 8 input channels"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_names_file_rule_pattern_and_path(update: str, said: str) -> None:
    assert one_rule(update).startswith(f's.yaml: rule 1 ("classifier.weight"): {said}')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: []", "s.yaml: 'version' is missing"),
        ("version: 2\nrules: []", "s.yaml: version: must be 1, got 2"),
        ("version: true\nrules: []", "s.yaml: version: must be 1, got true"),
        ("version: 1", "s.yaml: 'rules' is missing"),
        ("version: 1\nrules: 3", "s.yaml: rules: must be a list, got 3"),
        ("version: 1\nrules: []\nname: x", 's.yaml: unknown key "name"; allowed: version, rules'),
        ("version: 1\nrules: [3]", "s.yaml: rule 1: must be a mapping, got 3"),
        ("version: 1\nrules: [{update: full}]", "s.yaml: rule 1: 'match' is missing"),
        ("version: 1\nrules: [{match: a}]", "s.yaml: rule 1 (\"a\"): 'update' is missing"),
        (
            "version: 1\nrules: [{match: 3, update: full}]",
            "s.yaml: rule 1 (3): match: must be a string, got 3",
        ),
        ("version: 1\nrules: [{match: '', update: full}]", 's.yaml: rule 1 (""): match: must be a pattern'),
        ("version: 1\nrules: [{match: a, updat: full}]", 's.yaml: rule 1 ("a"): unknown key "updat"'),
        ("", "s.yaml: must be a mapping, got null"),
        ("version: 1\nversion: 1", "s.yaml:2:1: key 'version' stands here a second time"),
        ("version: 1\nrules: &a []", "s.yaml:2:8: anchors and aliases are not allowed"),
        ("version: 1\nrules: [{match: *.bias, update: full}]", "s.yaml:2:18: anchors and aliases are not"),
        ("version: !!int '1'", "s.yaml:1:10: tags are not allowed"),
        ("!!python/object/apply:os.getcwd []", "s.yaml:1:1: tags are not allowed"),
        ("1: 2", "s.yaml:1:1: a key must be a string"),
        ("? [a]\n: b", "s.yaml:1:3: a key must be a string"),
        ("a: b: c", "s.yaml:1:5: mapping values are not allowed here"),
        ("a: 1\n---\na: 2", "s.yaml:2:1: but found another document"),
        ("a\0b", "s.yaml: unacceptable character"),
        ("[" * 100_000, "s.yaml:1:21: nested more than 20 deep"),
        ("a" * (SIZE_LIMIT + 1), "s.yaml: larger than 256 KiB"),
    ],
)
def test_a_mistake_in_the_document_says_where(text: str, said: str) -> None:
    assert message(text).startswith(said)


def test_the_worst_mistake_is_said_and_the_others_are_counted() -> None:
    text = "version: 1\nrules: [{match: a, update: full}, {match: b, update: x, by: 1}]"
    assert message(text) == 's.yaml: rule 2 ("b"): unknown key "by"; allowed: match, update (and 1 more)'


@given(st.text(max_size=200))
def test_any_text_is_a_scheme_or_one_line(text: str) -> None:
    try:
        Scheme.from_yaml(text)
    except SchemeError as error:
        assert len(str(error).splitlines()) == 1


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
update_like = st.fixed_dictionaries({"channels": json_like}) | json_like
rules_like = st.lists(
    st.fixed_dictionaries({"match": st.text(max_size=8), "update": update_like}) | json_like
)


@given(st.fixed_dictionaries({"version": st.just(1), "rules": rules_like}) | json_like)
def test_any_document_is_a_scheme_that_round_trips_or_one_line(document: Any) -> None:
    try:
        read = Scheme.from_dict(document)
    except SchemeError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert Scheme.from_dict(read.to_dict()) == read


def test_a_pattern_that_matches_nothing_names_the_nearest() -> None:
    said = one_rule("full", "clasifier.weight")
    assert said.startswith(
        's.yaml: rule 1 ("clasifier.weight"): matches no parameter; the nearest are classifier.w'
    )
    assert one_rule("full", "zzz").endswith("the parameters are blocks.9.expand.weight, blocks.9.expand.bias, blocks.12.expand.weight, …")  # noqa: E501 # fmt: skip


def test_a_pattern_that_matches_nothing_is_an_error_even_behind_a_catch_all() -> None:
    with pytest.raises(SchemeError, match="rule 1"):
        scheme(("nothing", "none"), ("*", "full")).resolve(PARAMETERS)


def test_channels_of_a_parameter_without_any() -> None:
    assert one_rule("{channels: 0.5}", "scale") == (
        "s.yaml: rule 1 (\"scale\"): 'scale' of shape [] has no channels to choose; use full or none"
    )
    # A rule that another one overrides does no harm.
    masks = scheme(("s*", {"channels": 0.5}), ("scale", "full")).resolve(PARAMETERS)
    assert masks["scale"] == Mask.full()


def test_parameters_that_the_loss_does_not_depend_on() -> None:
    assert "trains 'unused.bias', but the loss does not depend on it" in one_rule("full", "unused.bias")
    assert "trains 'unused.bias'" in one_rule("full", "unused.*")
    assert "unused.bias" not in trained(scheme(("*.bias", "full")).resolve(PARAMETERS))
    assert "unused.bias" not in trained(scheme(("unused.bias", "none")).resolve(PARAMETERS))


def test_ready_made_schemes() -> None:
    resolvable = {n: i for n, i in PARAMETERS.items() if n != "unused.bias"}
    biases = {n for n in resolvable if n.endswith("bias")}
    assert trained(Scheme.full().resolve(resolvable)) == set(resolvable)
    assert trained(Scheme.none().resolve(resolvable)) == set()
    assert trained(Scheme.bias_only().resolve(resolvable)) == biases
    assert trained(Scheme.bias_only("classifier.*").resolve(resolvable)) == biases | {"classifier.weight"}
    last = {"classifier.weight", "classifier.bias"}
    assert trained(Scheme.last_layer("classifier.*").resolve(resolvable)) == last


def test_equality_and_fingerprint_are_of_the_rules() -> None:
    first = Scheme.from_yaml("version: 1\nrules: [{match: a, update: {channels: 0:8}}]", "one.yaml")
    second = Scheme.from_yaml(
        '{"version": 1, "rules": [{"match": "a", "update": {"channels": {"range": [0, 8]}}}]}'
    )
    other = scheme(("a", {"channels": [0, 8]}))
    assert first == second and hash(first) == hash(second) and first.fingerprint() == second.fingerprint()
    assert first != other and first.fingerprint() != other.fingerprint()
    # Pinned: artifacts record it.
    assert Scheme.full().fingerprint().startswith("2b893a3a9d8c")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "scheme.yaml"
    path.write_text(Scheme.bias_only().to_yaml())
    assert Scheme.from_file(path) == Scheme.bias_only()
    path.write_text("version: 1\nrules: [{match: nothing, update: full}]")
    with pytest.raises(SchemeError, match=f"^{path}: rule 1"):
        Scheme.from_file(path).resolve(PARAMETERS)
    path.write_bytes(b"version: \xff")
    with pytest.raises(SchemeError, match="not UTF-8 text \\(byte 9\\)"):
        Scheme.from_file(path)
    path.write_bytes("é".encode() * SIZE_LIMIT)
    with pytest.raises(SchemeError, match="larger than"):
        Scheme.from_file(path)
    for missing in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(SchemeError, match=f"cannot read scheme {missing}: "):
            Scheme.from_file(missing)
