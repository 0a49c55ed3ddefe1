# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Expanded optimizers take the steps that ``torch.optim`` takes, on whole parameters and on slices."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch_mlir import ir

from pock.compiler.errors import PockError
from pock.compiler.opt import parse_module, run_pipeline
from pock.compiler.optimizers import SGD, Adam, AdamW, Lion, Optimizer
from pock.compiler.passes.expand_optimizer import ExpandOptimizer, hyperparameters_of
from pock.compiler.passes.schedule_updates import ScheduleUpdates
from pock.dialects import sparsebp
from pock.dialects.sparsebp import declarations
from tests.python.compiler.torch_interpreter import Interpreter

FULL = '#sparsebp.mask<"full", "", array<i64>>'
NONE = '#sparsebp.mask<"none", "", array<i64>>'
RANGE = '#sparsebp.mask<"range", "input_channels", array<i64: 1, 3>>'
LIST = '#sparsebp.mask<"list", "input_channels", array<i64: 0, 2, 3>>'
CHANNELS = {FULL: [0, 1, 2, 3], RANGE: [1, 2], LIST: [0, 2, 3]}


def program(mask: str = FULL, element: str = "f32", prologue: str = "") -> ir.Module:
    """A weight [3, 4] and a scalar bias, whose gradients are the step's arguments."""
    n = len(CHANNELS[mask])
    text = f"""
      "sparsebp.parameter"() {{sym_name = "w", type = tensor<3x4x{element}>, dimensions = ["output_channels", "input_channels"],
        role = "parameter", mask = {mask}}} : () -> ()
      "sparsebp.parameter"() {{sym_name = "b", type = tensor<{element}>, dimensions = [], role = "parameter", mask = {FULL}}} : () -> ()
      {prologue}
      func.func @step(%g: !torch.vtensor<[3,{n}],{element}>, %h: !torch.vtensor<[],{element}>) {{
        "sparsebp.update"(%g) {{symbol = @w, mask = {mask}}} : (!torch.vtensor<[3,{n}],{element}>) -> ()
        "sparsebp.update"(%h) {{symbol = @b, mask = {FULL}}} : (!torch.vtensor<[],{element}>) -> ()
        return
      }}"""  # noqa: E501
    return parse_module(text, sparsebp.context(), "test")


class TorchLion(torch.optim.Optimizer):
    """Lion as its authors published it (google/automl, lion_pytorch.py): the order of the operations."""

    def __init__(self, params: Any, lr: float, betas: Sequence[float], weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state, (beta1, beta2) = self.state[p], group["betas"]
                average = state.setdefault("exp_avg", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_((average * beta1 + p.grad * (1 - beta1)).sign_(), alpha=-group["lr"])
                average.mul_(beta2).add_(p.grad, alpha=1 - beta2)


def reference(optimizer: Optimizer, parameters: list[torch.Tensor], lr: float) -> torch.optim.Optimizer:
    kinds: dict[type[Optimizer], Any] = {
        SGD: torch.optim.SGD, Adam: torch.optim.Adam, AdamW: torch.optim.AdamW, Lion: TorchLion,
    }  # fmt: skip
    options = optimizer.to_dict()
    for name in ("name", "runtime", "clip_grad_norm"):
        del options[name]
    more = {"foreach": False} if not isinstance(optimizer, Lion) else {}
    return kinds[type(optimizer)](parameters, lr=lr, **options, **more)


OPTIMIZERS = [
    SGD(),
    SGD(weight_decay=0.1),
    SGD(momentum=0.9),
    SGD(momentum=0.9, dampening=0.3, weight_decay=0.1),
    SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
    SGD(momentum=0.9, clip_grad_norm=0.5),
    SGD(clip_grad_norm=1e6),
    Adam(),
    Adam(betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1),
    Adam(amsgrad=True),
    Adam(betas=(0.0, 0.0)),
    AdamW(),
    AdamW(betas=(0.6, 0.9999), weight_decay=0.5, amsgrad=True, clip_grad_norm=0.5),
    Lion(),
    Lion(betas=(0.8, 0.95), weight_decay=0.3, clip_grad_norm=0.5),
    Lion(betas=(0.9, 0.3)),
]


def runtime(optimizer: Optimizer) -> Optimizer:
    """The same optimizer with every number an input of the step that may be one."""
    values = optimizer.to_dict() | {"runtime": ()}
    names = tuple(n for n in optimizer.tunable if optimizer.value(n) is not None)
    if getattr(optimizer, "nesterov", False):
        names = tuple(n for n in names if n != "dampening")
    if 0.0 in values.get("betas", ()):
        names = tuple(n for n in names if not n.startswith("beta"))
    return type(optimizer)(**{k: v for k, v in values.items() if k != "name"} | {"runtime": names})


@pytest.mark.parametrize("inputs", [False, True], ids=["constants", "runtime"])
@pytest.mark.parametrize("mask", [FULL, RANGE, LIST], ids=["full", "range", "list"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o.to_string())
def test_steps_are_those_of_pytorch(optimizer: Optimizer, mask: str, inputs: bool) -> None:
    """Five steps with learning rates that change, within a few units in the last place of f32.

    Storage is overwritten in place, as on the device: what reads a parameter behind its assign is found.
    """
    generator = torch.Generator().manual_seed(0)
    channels = CHANNELS[mask]
    w, b = torch.randn(3, 4, generator=generator), torch.randn((), generator=generator)
    theirs = [w[:, channels].clone().requires_grad_(), b.clone().requires_grad_()]
    module = program(mask)
    run_pipeline(module, [ExpandOptimizer.of(runtime(optimizer) if inputs else optimizer), ScheduleUpdates()])
    ours = Interpreter(module, {"w": w, "b": b}, in_place=True)
    peer = reference(optimizer, theirs, 0.1)
    for lr in (0.1, 0.2, 0.01, 0.05, 0.3):
        gradients = [torch.randn(p.shape, generator=generator) for p in theirs]
        scalars = [torch.tensor(lr), *(torch.tensor(v) for _, v in hyperparameters_of(module)[1:])]
        ours.run("step", *[g.clone() for g in gradients], *scalars)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient
        if optimizer.clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(theirs, optimizer.clip_grad_norm)
        peer.param_groups[0]["lr"] = lr
        peer.step()
        close = {"rtol": 3e-6, "atol": 1e-6}
        torch.testing.assert_close(ours.state["w"][:, channels], theirs[0].detach(), **close)
        torch.testing.assert_close(ours.state["b"], theirs[1].detach(), **close)
    frozen = [c for c in range(4) if c not in channels]
    assert torch.equal(ours.state["w"][:, frozen], w[:, frozen])


def test_runtime_hyperparameters_take_effect_in_the_step_that_gets_them() -> None:
    module = program()
    optimizer = SGD(momentum=0.5, runtime=("weight_decay", "momentum"))
    run_pipeline(module, [ExpandOptimizer.of(optimizer)])
    assert hyperparameters_of(module) == [("lr", None), ("weight_decay", 0.0), ("momentum", 0.5)]
    w, b = torch.randn(3, 4), torch.randn(())
    ours = Interpreter(module, {"w": w, "b": b})
    peer = torch.nn.Parameter(w.clone())
    theirs = torch.optim.SGD([peer], momentum=0.5)
    for lr, decay, momentum in ((0.1, 0.5, 0.0), (0.2, 0.0, 0.9), (0.3, 0.1, 0.4)):
        gradient = torch.randn(3, 4)
        peer.grad = gradient
        # PyTorch keeps no momentum where it is 0; nearly 0 is the same to f32.
        theirs.param_groups[0].update(lr=lr, weight_decay=decay, momentum=momentum or 1e-30)
        theirs.step()
        ours.run("step", gradient, torch.zeros(()), *map(torch.tensor, (lr, decay, momentum)))
        torch.testing.assert_close(ours.state["w"], peer.detach())


def test_the_bias_correction_keeps_its_digits() -> None:
    """In f32, 1 - 0.9999 ** 1 has two or three digits left; PyTorch computes it in f64."""
    module = program()
    run_pipeline(module, [ExpandOptimizer.of(Adam(betas=(0.999, 0.9999), eps=0.0))])
    ours = Interpreter(module)
    ours.run("step", torch.full((3, 4), 0.5), torch.tensor(2.0), torch.tensor(1.0))
    torch.testing.assert_close(ours.state["b"], torch.tensor(-1.0), rtol=1e-6, atol=0)


def test_a_norm_that_is_not_a_number_reaches_every_parameter() -> None:
    module = program()
    run_pipeline(module, [ExpandOptimizer.of(SGD(clip_grad_norm=1.0))])
    ours = Interpreter(module)
    ours.run("step", torch.ones(3, 4), torch.tensor(torch.nan), torch.tensor(1.0))
    assert ours.state["w"].isnan().all()


@pytest.mark.parametrize("element", ["bf16", "f16", "f64"])
def test_narrow_parameters_are_updated_in_f32_and_wide_ones_in_f64(element: str) -> None:
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f64": torch.float64}[element]
    module = program(element=element)
    run_pipeline(module, [ExpandOptimizer.of(AdamW(clip_grad_norm=1.0))])
    w, b = torch.randn(3, 4).to(dtype), torch.randn(()).to(dtype)
    ours = Interpreter(module, {"w": w, "b": b})
    wide = torch.float64 if element == "f64" else torch.float32
    assert ours.state["w#exp_avg"].dtype == wide
    peer = [torch.nn.Parameter(p.to(wide)) for p in (w, b)]
    theirs = torch.optim.AdamW(peer, lr=0.125, foreach=False)
    for _ in range(3):
        gradients = [torch.randn(3, 4).to(dtype), torch.randn(()).to(dtype)]
        for p, g in zip(peer, gradients, strict=True):
            p.grad = g.to(wide)
        torch.nn.utils.clip_grad_norm_(peer, 1.0)
        theirs.step()
        with torch.no_grad():  # the parameter itself stays narrow between steps
            for p in peer:
                p.copy_(p.to(dtype))
        ours.run("step", *gradients, torch.tensor(0.125))
    torch.testing.assert_close(ours.state["w"], peer[0].detach().to(dtype))
    torch.testing.assert_close(ours.state["b"], peer[1].detach().to(dtype))


STEP = (
    '"sparsebp.state"() {sym_name = "#step", type = tensor<i64>, role = "step", initial = 0 : i64} : () -> ()'
)
UPDATE = f'"sparsebp.update"(%g) {{symbol = @w, mask = {FULL}}} : (!torch.vtensor<[],f32>) -> ()'
COUNTED = f"""
  "sparsebp.parameter"() {{sym_name = "w", type = tensor<f32>, dimensions = [], role = "parameter", mask = {FULL}}} : () -> ()
  {STEP}
  func.func @step(%g: !torch.vtensor<[],f32>) {{
    %one = torch.constant.int 1
    %count = "sparsebp.read"() {{symbol = @"#step"}} : () -> !torch.vtensor<[],si64>
    %next = torch.aten.add.Scalar %count, %one, %one : !torch.vtensor<[],si64>, !torch.int, !torch.int -> !torch.vtensor<[],si64>
    "sparsebp.assign"(%next) {{symbol = @"#step", mask = {FULL}}} : (!torch.vtensor<[],si64>) -> ()
    {UPDATE}
    return
  }}"""  # noqa: E501


@pytest.mark.parametrize("counted", [False, True], ids=["own", "dropout's"])
def test_steps_are_counted_once(counted: bool) -> None:
    """Where dropout counts already, even in front of the updates, the count is shared."""
    module = parse_module(COUNTED, sparsebp.context(), "test") if counted else program()
    run_pipeline(module, [ExpandOptimizer.of(Adam(eps=0.0))])
    ours = Interpreter(module)
    arguments = [torch.tensor(3.0)] if counted else [torch.ones(3, 4), torch.tensor(3.0)]
    for i in range(3):
        ours.run("step", *arguments, torch.tensor(1.0))
        assert ours.state["#step"] == i + 1
        # With a constant gradient and corrected biases every step is the learning rate.
        got = ours.state["w" if counted else "b"]
        torch.testing.assert_close(got, torch.tensor(-(i + 1.0)), rtol=1e-5, atol=0)


def test_state_exists_only_for_what_is_trained_and_only_as_needed() -> None:
    def states(optimizer: Optimizer, mask: str = FULL) -> dict[str, list[int]]:
        module = program(mask)
        run_pipeline(module, [ExpandOptimizer.of(optimizer)])
        return {
            name: list(ir.RankedTensorType(ir.TypeAttr(op.operation.attributes["type"]).value).shape)
            for name, op in declarations(module).items()
            if op.operation.name == "sparsebp.state"
        }

    assert states(SGD(weight_decay=0.1, clip_grad_norm=1.0)) == {}
    assert states(SGD(momentum=0.9), RANGE) == {"w#momentum": [3, 2], "b#momentum": []}
    assert states(Lion(), LIST) == {"w#exp_avg": [3, 3], "b#exp_avg": []}
    assert set(states(SGD(momentum=0.9, dampening=0.1))) == {"#step", "w#momentum", "b#momentum"}
    assert set(states(AdamW(amsgrad=True))) == {
        "#step",
        *(f"{name}#{slot}" for name in "wb" for slot in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")),
    }


def test_a_step_takes_the_learning_rate_even_if_nothing_is_trained() -> None:
    text = "func.func @step(%x: !torch.vtensor<[2],f32>) -> !torch.vtensor<[2],f32> { return %x : !torch.vtensor<[2],f32> }"  # noqa: E501
    module = parse_module(text, sparsebp.context(), "test")
    run_pipeline(module, [ExpandOptimizer.of(Adam(clip_grad_norm=1.0))])
    assert hyperparameters_of(module) == [("lr", None)]
    x = torch.randn(2)
    assert torch.equal(Interpreter(module).run("step", x, torch.tensor(0.1))[0], x)
    assert not declarations(module)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (COUNTED.replace(f'role = "parameter", mask = {FULL}', f'role = "parameter", mask = {NONE}'),
         "has another mask than @w's declaration; run sparsebp-prune-backward first"),
        (COUNTED.replace("    return", f"{UPDATE} return"),
         "updates @w a second time"),
        ("module {}", "the program has no function @step"),
    ],
    ids=["mask", "twice", "no step"],
)  # fmt: skip
def test_programs_that_cannot_be_expanded(text: str, said: str) -> None:
    with pytest.raises(PockError, match=said):
        run_pipeline(parse_module(text, sparsebp.context(), "test"), [ExpandOptimizer()])


def test_expanding_twice_is_an_error() -> None:
    with pytest.raises(PockError, match="expanded already"):
        run_pipeline(program(), [ExpandOptimizer(), ExpandOptimizer()])
