# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What counts as safe in place, on stream-level IR written by hand, which is more than IREE makes of it."""

import pytest
from iree.compiler import ir

from pock.compiler.analysis.state_hazards import Analysis, analyse

RESOURCE = "!stream.resource<external>{%c64}"
TENSOR = "tensor<4x4xf32>"
#: A load or store of everything.
ALL = "offsets = [0, 0], sizes = [4, 4], strides = [1, 1]"


def tensor_type(access: str, tensor: str = TENSOR) -> str:
    return f"!iree_tensor_ext.dispatch.tensor<{access}:{tensor}>"


def load(name: str, binding: str, part: str = ALL, tensor: str = TENSOR, value: str = TENSOR) -> str:
    return f"""
      {name}_part = stream.binding.subspan {binding}[%c0]
        : !stream.binding -> {tensor_type("readonly", tensor)}
      {name} = iree_tensor_ext.dispatch.tensor.load {name}_part, {part}
        : {tensor_type("readonly", tensor)} -> {value}"""


def store(
    value: str, binding: str, part: str = ALL, tensor: str = TENSOR, type_: str = TENSOR, at: str = "%c0"
) -> str:
    return f"""
      {value}_to = stream.binding.subspan {binding}[{at}]
        : !stream.binding -> {tensor_type("writeonly", tensor)}
      iree_tensor_ext.dispatch.tensor.store {value}, {value}_to, {part}
        : {type_} -> {tensor_type("writeonly", tensor)}"""


def twice(name: str, operand: str, read: str = "(i, j)", type_: str = TENSOR, written: str = "(i, j)") -> str:
    return f"""
      {name}_empty = tensor.empty() : {type_}
      {name} = linalg.generic {{
          indexing_maps = [affine_map<(i, j) -> {read}>, affine_map<(i, j) -> {written}>],
          iterator_types = ["parallel", "parallel"]}}
        ins({operand} : {type_}) outs({name}_empty : {type_}) {{
      ^bb0(%in: f32, %out: f32):
        %sum = arith.addf %in, %in : f32
        linalg.yield %sum : f32
      }} -> {type_}"""


UPDATE = load("%old", "%r") + twice("%new", "%old") + store("%new", "%w")


def module(commands: str, kernel: str = UPDATE, results: str = "", more: str = "", waits: str = "") -> str:
    """A module whose @step(%x, %w) runs ``commands`` on the buffers %i of x and %s of w, which is donated."""
    results = results or "%exported_x, %exported_w"
    return f"""
    stream.executable private @kernels {{
      stream.executable.export public @kernel workgroups() -> (index, index, index) {{
        %c1 = arith.constant 1 : index
        stream.return %c1, %c1, %c1 : index, index, index
      }}
      stream.executable.export public @other workgroups() -> (index, index, index) {{
        %c1 = arith.constant 1 : index
        stream.return %c1, %c1, %c1 : index, index, index
      }}
      builtin.module {{
        func.func @kernel(%r: !stream.binding, %w: !stream.binding) {{
          %c0 = arith.constant 0 : index
          %c32 = arith.constant 32 : index
          {kernel}
          return
        }}
        func.func @other(%r: !stream.binding, %w: !stream.binding) {{
          %c0 = arith.constant 0 : index
          {load("%old", "%r") + twice("%new", "%old", "(j, i)") + store("%new", "%w")}
          return
        }}
      }}
    }}
    util.func public @step(%x: !hal.buffer_view, %w: !hal.buffer_view)
        -> (!hal.buffer_view, !hal.buffer_view) {{
      %c0 = arith.constant 0 : index
      %c32 = arith.constant 32 : index
      %c64 = arith.constant 64 : index
      %zero = arith.constant 0 : i8
      %input = stream.tensor.import %x : !hal.buffer_view -> {TENSOR} in {RESOURCE}
      %state = stream.tensor.import consume %w : !hal.buffer_view -> {TENSOR} in {RESOURCE}
      {more}
      %done = stream.cmd.execute {waits} with(%input as %i: {RESOURCE}, %state as %s: {RESOURCE}) {{
        {commands}
      }} => !stream.timepoint
      %ready:2 = stream.timepoint.await %done => %input, %state : {RESOURCE}, {RESOURCE}
      %exported_x = stream.tensor.export %ready#0 : {TENSOR} in {RESOURCE} -> !hal.buffer_view
      %exported_w = stream.tensor.export %ready#1 : {TENSOR} in {RESOURCE} -> !hal.buffer_view
      util.return {results} : !hal.buffer_view, !hal.buffer_view
    }}"""


def dispatch(read: str, written: str, kernel: str = "kernel", at: str = "%c0") -> str:
    name = f"@kernels::@{kernel}"
    names = name if kernel != "either" else "{@kernels::@kernel, @kernels::@other}"
    return f"""stream.cmd.dispatch {names} {{
      ro {read}[%c0 for %c64] : {RESOURCE},
      rw {written}[{at} for %c64] : {RESOURCE}
    }}"""


READ, UPDATE_X = dispatch("%s", "%i"), dispatch("%s", "%s")
FILL = f"stream.cmd.fill %zero, %s[%c0 for %c64] : i8 -> {RESOURCE}"
COPY_OUT = f"stream.cmd.copy %s[%c0], %i[%c0], %c64 : {RESOURCE} -> {RESOURCE}"
COPY_IN = f"stream.cmd.copy %i[%c0], %s[%c0], %c64 : {RESOURCE} -> {RESOURCE}"
COPY_WITHIN = f"stream.cmd.copy %s[%c0], %s[%c32], %c32 : {RESOURCE} -> {RESOURCE}"


def nested(kind: str, *commands: str) -> str:
    return f"stream.cmd.{kind} {{\n{chr(10).join(commands)}\n}}"


def analysed(text: str) -> Analysis:
    with ir.Context():
        return analyse(ir.Module.parse(text), "step", {1: 1})


def hazard(text: str) -> str | None:
    return analysed(text).hazards.get(1)


AFTER = "reads the state after its update"
BESIDE = "runs beside the update"
ELSEWHERE = "reads the state elsewhere than where it updates it"


@pytest.mark.parametrize(
    ("commands", "problem"),
    [
        (UPDATE_X, None),
        (READ + UPDATE_X, None),
        (UPDATE_X + READ, AFTER),
        (UPDATE_X + UPDATE_X, AFTER),
        (FILL + READ, AFTER),
        (FILL + COPY_OUT, AFTER),
        (COPY_OUT + COPY_IN, None),
        (COPY_IN + COPY_OUT, AFTER),
        (COPY_WITHIN, "moves the state within its storage"),
        (nested("concurrent", READ, UPDATE_X), BESIDE),
        (nested("concurrent", UPDATE_X, READ), BESIDE),
        (nested("concurrent", FILL, UPDATE_X), BESIDE),
        (nested("concurrent", READ, COPY_OUT) + UPDATE_X, None),
        (nested("serial", READ, UPDATE_X), None),
        (nested("serial", UPDATE_X, READ), AFTER),
        # The order inside a branch counts, and so does what runs beside the branch.
        (nested("concurrent", nested("serial", UPDATE_X, READ)), AFTER),
        (nested("concurrent", nested("serial", READ, UPDATE_X)), None),
        (nested("concurrent", nested("serial", UPDATE_X), nested("serial", READ)), BESIDE),
        (nested("concurrent", nested("serial", nested("concurrent", UPDATE_X, READ))), BESIDE),
        (UPDATE_X + nested("concurrent", nested("serial", READ)), AFTER),
        (f"stream.cmd.discard %s[%c0 for %c64] : {RESOURCE}", "not understood"),
    ],
)
def test_the_order_of_commands(commands: str, problem: str | None) -> None:
    found = hazard(module(commands))
    assert found is None if problem is None else problem in str(found)


HALF, ROW = "offsets = [2, 0], sizes = [2, 4], strides = [1, 1]", "tensor<2x4xf32>"
FIRST = "offsets = [0, 0], sizes = [2, 4], strides = [1, 1]"
SUM = """
      %empty = tensor.empty() : tensor<4x4xf32>
      %total = linalg.generic {
          indexing_maps = [
            affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
          iterator_types = ["parallel", "parallel"]}
        ins(%new, %new : tensor<4x4xf32>, tensor<4x4xf32>) outs(%empty : tensor<4x4xf32>) {
      ^bb0(%a: f32, %b: f32, %out: f32):
        %both = arith.addf %a, %b : f32
        linalg.yield %both : f32
      } -> tensor<4x4xf32>"""
GATHER = """
      %empty = tensor.empty() : tensor<4x4xf32>
      %new = linalg.generic {
          indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
        outs(%empty : tensor<4x4xf32>) {
      ^bb0(%out: f32):
        %i = linalg.index 0 : index
        %picked = tensor.extract %old[%c0, %i] : tensor<4x4xf32>
        linalg.yield %picked : f32
      } -> tensor<4x4xf32>"""
MATMUL = """
      %new = linalg.matmul ins(%old, %old : tensor<4x4xf32>, tensor<4x4xf32>) outs(%old : tensor<4x4xf32>)
        -> tensor<4x4xf32>"""
#: Sums over the rows of what is read, beside it.
SUMS = """
      %zero = arith.constant 0.0 : f32
      %none = tensor.empty() : tensor<4xf32>
      %zeros = linalg.fill ins(%zero : f32) outs(%none : tensor<4xf32>) -> tensor<4xf32>
      %empty = tensor.empty() : tensor<4x4xf32>
      %sums, %new = linalg.generic {
          indexing_maps = [
            affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (j, i)>],
          iterator_types = ["parallel", "reduction"]}
        ins(%old : tensor<4x4xf32>) outs(%zeros, %empty : tensor<4xf32>, tensor<4x4xf32>) {
      ^bb0(%a: f32, %total: f32, %out: f32):
        %more = arith.addf %total, %a : f32
        linalg.yield %more, %a : f32, f32
      } -> (tensor<4xf32>, tensor<4x4xf32>)"""
BEGUN = """
      %zero = arith.constant 0.0 : f32
      %none = tensor.empty() : tensor<4x4xf32>
      %new_empty = linalg.fill ins(%zero : f32) outs(%none : tensor<4x4xf32>) -> tensor<4x4xf32>"""
SHIFTED = """
      %top = tensor.extract_slice %old[0, 0] [2, 4] [1, 1] : tensor<4x4xf32> to tensor<2x4xf32>
      %new = tensor.insert_slice %top into %old[2, 0] [2, 4] [1, 1] : tensor<2x4xf32> into tensor<4x4xf32>"""


@pytest.mark.parametrize(
    ("kernel", "safe"),
    [
        (UPDATE, True),
        # In another order, unless that is the same on both sides.
        (load("%old", "%r") + twice("%new", "%old", "(j, i)") + store("%new", "%w"), False),
        (load("%old", "%r") + twice("%new", "%old", "(j, i)", TENSOR, "(j, i)") + store("%new", "%w"), True),
        # One row for all.
        (load("%old", "%r") + twice("%new", "%old", "(0, j)") + store("%new", "%w"), False),
        # A part, in its own place and in another's.
        (
            load("%old", "%r", HALF, value=ROW)
            + twice("%new", "%old", type_=ROW)
            + store("%new", "%w", HALF, type_=ROW),
            True,
        ),
        (
            load("%old", "%r", FIRST, value=ROW)
            + twice("%new", "%old", type_=ROW)
            + store("%new", "%w", HALF, type_=ROW),
            False,
        ),
        # The same part, said with an offset in bytes.
        (
            load("%old", "%r", HALF, value=ROW)
            + twice("%new", "%old", type_=ROW)
            + store("%new", "%w", FIRST, ROW, ROW, "%c32"),
            True,
        ),
        (
            load("%old", "%r", FIRST, value=ROW)
            + twice("%new", "%old", type_=ROW)
            + store("%new", "%w", FIRST, ROW, ROW, "%c32"),
            False,
        ),
        # Rows of another length: the same elements, elsewhere in the result.
        (
            load("%old", "%r", FIRST, value=ROW)
            + twice("%new", "%old", type_=ROW)
            + store(
                "%new", "%w", "offsets = [0, 0], sizes = [2, 4], strides = [1, 2]", "tensor<2x8xf32>", ROW
            ),
            False,
        ),
        # Two operations read, or what was computed is used for something else.
        (UPDATE + twice("%more", "%old"), False),
        (load("%old", "%r") + twice("%more", "%old") + twice("%new", "%old") + store("%new", "%w"), False),
        (load("%old", "%r") + twice("%new", "%old") + SUM + store("%new", "%w"), False),
        (load("%old", "%r") + twice("%new", "%old") + SUM + store("%total", "%w"), False),
        # Element by element, beside sums.
        (load("%old", "%r") + SUMS + store("%new", "%w"), True),
        (load("%old", "%r") + SUMS.replace("(j, i)", "(i, j)", 1) + store("%new", "%w"), False),
        # What the result begins with would be written before anything is read.
        (
            load("%old", "%r")
            + BEGUN
            + "\n".join(line for line in twice("%new", "%old").split("\n") if "tensor.empty" not in line)
            + store("%new", "%w"),
            False,
        ),
        # Not element by element.
        (load("%old", "%r") + GATHER + store("%new", "%w"), False),
        (load("%old", "%r") + MATMUL + store("%new", "%w"), False),
        (load("%old", "%r") + SHIFTED + store("%new", "%w"), False),
        # Something else is written, and what is read.
        (load("%old", "%r") + twice("%new", "%old") + twice("%n2", "%new") + store("%n2", "%w"), False),
        (load("%old", "%r") + store("%old", "%w"), False),
        (
            load("%old", "%r")
            + twice("%unused", "%old")
            + f"%new = arith.constant dense<1.0> : {TENSOR}"
            + store("%new", "%w"),
            False,
        ),
        # Only written, in part: the rest is what makes it a read.
        (
            "%value = arith.constant dense<1.0> : tensor<2x4xf32>" + store("%value", "%w", HALF, type_=ROW),
            True,
        ),
    ],
)
def test_what_a_dispatch_may_do(kernel: str, safe: bool) -> None:
    found = hazard(module(UPDATE_X, kernel))
    assert found is None if safe else ELSEWHERE in str(found)


def test_a_dispatch_that_only_writes_a_part_may_follow_another_update() -> None:
    kernel = "%value = arith.constant dense<1.0> : tensor<2x4xf32>" + store("%value", "%w", HALF, type_=ROW)
    only_written = f"""stream.cmd.dispatch @kernels::@kernel {{
      ro %i[%c0 for %c64] : {RESOURCE},
      rw %s[%c0 for %c64] : {RESOURCE}
    }}"""
    assert hazard(module(FILL + only_written, kernel)) is None


def test_bindings_of_different_parts_are_different_places() -> None:
    assert ELSEWHERE in str(hazard(module(dispatch("%s", "%s", at="%c32"))))


@pytest.mark.parametrize(
    ("number", "safe"),
    [
        ("arith.constant 32 : i32", True),
        ("arith.constant 0 : i32", False),
        ("arith.constant -32 : i32", False),
        ("util.optimization_barrier %c32_i32 : i32", False),
    ],
)
def test_a_place_may_be_a_number_that_the_dispatch_is_given(number: str, safe: bool) -> None:
    """As where one kernel serves states in buffers of their own and states that share one."""
    kernel = f"""
      %first = arith.index_castui %n : i32 to index
      %second = arith.index_castui %m : i32 to index
      %at:2 = util.assume.int %first<umin = 0, umax = 64>, %second<umin = 0, umax = 64> : index, index
      {load("%old", "%r", HALF, value=ROW)}
      {twice("%new", "%old", type_=ROW)}
      {store("%new", "%w", FIRST, ROW, ROW, "%at#1")}"""
    numbers = f"""
      %c32_i32 = arith.constant 32 : i32
      %zero_i32 = arith.constant 0 : i32
      %number = {number}"""
    given = UPDATE_X.replace("@kernel {", "@kernel(%zero_i32, %number : i32, i32) {")
    text = module(given, kernel, more=numbers)
    bindings = "func.func @kernel(%r: !stream.binding, %w: !stream.binding"
    found = hazard(text.replace(bindings, f"{bindings}, %n: i32, %m: i32"))
    assert found is None if safe else ELSEWHERE in str(found)


def test_every_variant_of_a_dispatch_counts() -> None:
    assert ELSEWHERE in str(hazard(module(dispatch("%s", "%s", "either"))))


SECOND = f"""
      %later = stream.cmd.execute WAITS with(%input as %a: {RESOURCE}, %state as %b: {RESOURCE}) {{
        {dispatch("%b", "%a")}
      }} => !stream.timepoint"""


def test_executions_are_ordered_by_what_they_wait_for() -> None:
    first = SECOND.replace("WAITS", "")
    joined = "%all = stream.timepoint.join max(%later, %later) => !stream.timepoint"
    assert BESIDE in str(hazard(module(UPDATE_X, more=first)))
    assert hazard(module(UPDATE_X, more=first, waits="await(%later) =>")) is None
    assert hazard(module(UPDATE_X, more=first + joined, waits="await(%all) =>")) is None
    behind = module(UPDATE_X).replace(
        "%ready:2 =", SECOND.replace("WAITS", "await(%done) =>") + "\n%ready:2 ="
    )
    assert AFTER in str(hazard(behind))


def test_a_view_of_a_buffer_is_the_buffer() -> None:
    view = f"%view = stream.resource.subview %state[%c0] : {RESOURCE} -> {RESOURCE}"
    through = f"""%later = stream.cmd.execute with(%input as %a: {RESOURCE}, %view as %b: {RESOURCE}) {{
        {dispatch("%b", "%a")}
      }} => !stream.timepoint"""
    assert BESIDE in str(hazard(module(UPDATE_X, more=view + "\n" + through)))
    two = module(dispatch("%s", "%v"), more=view).replace(
        f"%state as %s: {RESOURCE})", f"%state as %s: {RESOURCE}, %view as %v: {RESOURCE})"
    )
    assert ELSEWHERE in str(hazard(two))


def test_the_buffer_may_be_imported_twice() -> None:
    again = f"%again = stream.tensor.import %w : !hal.buffer_view -> {TENSOR} in {RESOURCE}"
    through = f"""%later = stream.cmd.execute with(%input as %a: {RESOURCE}, %again as %b: {RESOURCE}) {{
        {dispatch("%b", "%a")}
      }} => !stream.timepoint"""
    assert BESIDE in str(hazard(module(UPDATE_X, more=again + "\n" + through)))


@pytest.mark.parametrize("results", ["%exported_w, %exported_w", "%w, %exported_w", "%exported_w, %x"])
def test_the_old_value_is_not_another_result(results: str) -> None:
    assert "is in the state's storage too" in str(hazard(module(UPDATE_X, results=results)))
    assert hazard(module(READ, results=results)) is None


@pytest.mark.parametrize(
    "use",
    [
        f"%barrier = util.optimization_barrier %state : {RESOURCE.split('{')[0]}",
        "util.call @elsewhere(%w) : (!hal.buffer_view) -> ()",
        "%true = arith.constant true\nscf.if %true { util.optimization_barrier %w : !hal.buffer_view }",
    ],
)
def test_what_is_not_understood_is_not_safe(use: str) -> None:
    text = module(UPDATE_X, more=use) + "\nutil.func private @elsewhere(%w: !hal.buffer_view)"
    assert "uses the state" in str(hazard(text))


def test_a_step_with_branches_is_not_followed() -> None:
    text = module(UPDATE_X).replace("util.return", "cf.br ^end\n^end:\nutil.return")
    assert "has branches" in str(hazard(text))


def test_arguments_that_are_not_donated_must_not_be_written() -> None:
    assert analysed(module(dispatch("%s", "%i"))).overwritten == [0]
    assert analysed(module(COPY_OUT)).overwritten == [0]
    assert analysed(module(dispatch("%i", "%s"))).overwritten == []
    with ir.Context():
        assert analyse(ir.Module.parse(module(UPDATE_X)), "step", {}).overwritten == [1]


def test_transient_memory_is_what_the_function_allocates() -> None:
    allocate = """%n = arith.constant 4096 : index
      %slab, %slab_ready = stream.resource.alloca uninitialized
        : !stream.resource<transient>{%n} => !stream.timepoint"""
    assert analysed(module(UPDATE_X)).transient_bytes == 0
    assert analysed(module(UPDATE_X, more=allocate)).transient_bytes == 4096


def test_a_missing_function_is_named() -> None:
    with ir.Context(), pytest.raises(ValueError, match="no function @train"):
        analyse(ir.Module.parse(module(UPDATE_X)), "train", {})
