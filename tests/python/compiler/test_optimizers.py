# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Optimizers: their textual and dictionary forms, and that they are checked as PyTorch checks them."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pock.compiler.optimizers import (
    SGD,
    Adam,
    AdamW,
    Lion,
    Optimizer,
    OptimizerError,
    make_optimizer,
    parse_optimizer,
)

positive = st.floats(0, 10, allow_subnormal=False)
betas = st.tuples(*[st.floats(0, 1, exclude_max=True, allow_subnormal=False)] * 2)
clip = st.none() | st.floats(1e-3, 10)


def runtime(*names: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(names), unique=True).map(tuple)


optimizers = st.one_of(
    st.builds(SGD, momentum=positive, dampening=positive, weight_decay=positive, clip_grad_norm=clip,
              runtime=runtime("momentum", "dampening", "weight_decay")),
    st.builds(SGD, momentum=st.floats(0.1, 1), nesterov=st.booleans(), runtime=runtime("momentum")),
    st.builds(Adam, betas=betas, eps=positive, weight_decay=positive, amsgrad=st.booleans(),
              clip_grad_norm=clip, runtime=runtime("beta1", "eps")),
    st.builds(AdamW, betas=betas, weight_decay=positive, runtime=runtime("beta2", "weight_decay")),
    st.builds(Lion, betas=betas, weight_decay=positive, clip_grad_norm=st.floats(1e-3, 10),
              runtime=runtime("clip_grad_norm", "beta1")),
)  # fmt: skip


@given(optimizers)
def test_text_and_dictionary_round_trip(optimizer: Optimizer) -> None:
    assert parse_optimizer(optimizer.to_string()) == optimizer
    assert make_optimizer(optimizer.to_dict()) == optimizer
    assert type(make_optimizer(optimizer.to_dict())) is type(optimizer)


@pytest.mark.parametrize(
    ("text", "optimizer"),
    [
        ("sgd", SGD()),
        ("SGD:momentum=0.9,nesterov=true", SGD(momentum=0.9, nesterov=True)),
        ("sgd: momentum = 0.9 , clip_grad_norm=none", SGD(momentum=0.9)),
        ("adam:betas=(0.8,0.99),eps=1e-6,amsgrad=true", Adam(betas=(0.8, 0.99), eps=1e-6, amsgrad=True)),
        ("adamw:betas=0.8+0.99", AdamW(betas=(0.8, 0.99))),
        (
            "lion:weight_decay=0.1,runtime=weight_decay+beta1",
            Lion(weight_decay=0.1, runtime=("weight_decay", "beta1")),
        ),
        ("sgd:momentum=0.9,runtime=momentum", SGD(momentum=0.9, runtime=("momentum",))),
    ],
)
def test_textual_form(text: str, optimizer: Optimizer) -> None:
    assert parse_optimizer(text) == optimizer


def test_text_leaves_out_defaults() -> None:
    assert SGD().to_string() == "sgd"
    assert AdamW(weight_decay=0.1).to_string() == "adamw:weight_decay=0.1"
    assert SGD(momentum=0.9, runtime=("momentum",)).to_string() == "sgd:runtime=(momentum),momentum=0.9"


def test_defaults_are_those_of_pytorch() -> None:
    parameter = [torch.zeros(1, requires_grad=True)]
    for ours, theirs in (
        (SGD(), torch.optim.SGD(parameter)),
        (Adam(), torch.optim.Adam(parameter)),
        (AdamW(), torch.optim.AdamW(parameter)),
    ):
        for key, value in ours.to_dict().items():
            if key not in ("name", "clip_grad_norm", "runtime"):
                default = theirs.defaults[key]
                assert value == (list(default) if isinstance(default, tuple) else default), key


def test_inputs_of_a_step_are_the_learning_rate_and_what_runtime_names() -> None:
    assert SGD().inputs == ("lr",)
    assert AdamW(runtime=("weight_decay", "beta1")).inputs == ("lr", "weight_decay", "beta1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rmsprop", "no optimizer is named 'rmsprop'; there are sgd, adam, adamw, lion"),
        ("", "no optimizer is named ''; there are"),
        ("sgd:lr=0.1", "optimizer sgd: lr is not fixed here; every training step takes it as input"),
        ("sgd:momentun=0.9", "optimizer sgd: no hyper-parameter is named 'momentun'; did you mean momentum?"),
        ("lion:zzz=0.9", "optimizer lion: no hyper-parameter is named 'zzz'; it has clip_grad_norm, runtime"),
        ("sgd:momentum", "optimizer 'sgd:momentum': expected name=value, got 'momentum'"),
        ("sgd:momentum=", "optimizer 'sgd:momentum=': expected name=value, got 'momentum='"),
        ("sgd:momentum=0.9,momentum=0.8", "optimizer 'sgd:momentum=0.9,momentum=0.8': momentum is"),
        ("sgd:momentum=fast", "optimizer sgd: momentum must be a number, got 'fast'"),
        ("sgd:momentum=nan", "optimizer sgd: momentum must be a number, got nan"),
        ("sgd:momentum=none", "optimizer sgd: momentum must be a number, got None"),
        ("sgd:nesterov=1", "optimizer sgd: nesterov must be true or false, got 1.0"),
        ("sgd:momentum=-1", "optimizer sgd: momentum must not be negative, got -1"),
        ("sgd:nesterov=true", "optimizer sgd: nesterov needs a momentum above 0 and no dampening"),
        ("sgd:nesterov=true,momentum=0.9,dampening=0.1", "optimizer sgd: nesterov needs a momentum above 0"),
        ("sgd:nesterov=true,momentum=0.9,runtime=dampening", "optimizer sgd: nesterov needs a momentum"),
        ("sgd:clip_grad_norm=0", "optimizer sgd: clip_grad_norm must be above 0"),
        ("sgd:runtime=nesterov", "optimizer sgd: runtime names 'nesterov'; it may name momentum, dampening"),
        ("sgd:runtime=lr", "optimizer sgd: runtime names 'lr'; it may name"),
        ("sgd:runtime=momentum+momentum", "optimizer sgd: runtime names 'momentum' twice"),
        ("sgd:runtime=clip_grad_norm", "optimizer sgd: runtime names 'clip_grad_norm', so it needs a value"),
        ("adam:betas=0.9", "optimizer adam: betas must be two numbers, got (0.9,)"),
        ("adam:betas=(0.9,1)", "optimizer adam: beta2 must be in [0, 1), got 1"),
        ("adam:betas=(-0.1,0.9)", "optimizer adam: beta1 must not be negative, got -0.1"),
        ("adamw:eps=-1", "optimizer adamw: eps must not be negative, got -1"),
        ("lion:betas=(1.5,0.9)", "optimizer lion: beta1 must be in [0, 1), got 1.5"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(text: str, said: str) -> None:
    with pytest.raises(OptimizerError) as caught:
        parse_optimizer(text)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_an_optimizer_or_one_line(text: str) -> None:
    for candidate in (text, f"sgd:{text}", f"adam:betas={text}"):
        try:
            parse_optimizer(candidate)
        except OptimizerError as error:
            assert str(error)


@pytest.mark.parametrize(
    "arguments", [{"momentum": "0.9"}, {"momentum": True}, {"nesterov": 1}, {"runtime": "momentum"}]
)
def test_python_values_of_other_types_are_errors(arguments: dict[str, Any]) -> None:
    with pytest.raises(OptimizerError, match="must be"):
        SGD(**arguments)
