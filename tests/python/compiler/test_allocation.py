# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Memory of a call that is taken before it begins."""

from iree.compiler import ir

from pock.compiler.allocation import allocate_at_once

STREAM = """
util.func public @step(%size: index, %before: !stream.timepoint)
    -> (!stream.resource<external>, !stream.timepoint) {
  %result, %a = stream.resource.alloca uninitialized : !stream.resource<external>{%size} => !stream.timepoint
  %slab, %b = stream.resource.alloca uninitialized on(#hal.device.promise<@device>)
    : !stream.resource<transient>{%size} => !stream.timepoint
  %later, %c = stream.resource.alloca uninitialized await(%before)
    => !stream.resource<transient>{%size} => !stream.timepoint
  %ready = stream.timepoint.join max(%a, %b, %c) => !stream.timepoint
  %done = stream.cmd.execute await(%ready) => with(%result as %0: !stream.resource<external>{%size},
      %slab as %1: !stream.resource<transient>{%size}, %later as %2: !stream.resource<transient>{%size}) {
    stream.cmd.copy %1[%size], %0[%size], %size
      : !stream.resource<transient>{%size} -> !stream.resource<external>{%size}
  } => !stream.timepoint
  %d = stream.resource.dealloca await(%done)
    => %slab : !stream.resource<transient>{%size} => !stream.timepoint
  %e = stream.resource.dealloca await(%d) => %later : !stream.resource<transient>{%size} => !stream.timepoint
  util.return %result, %e : !stream.resource<external>, !stream.timepoint
}
"""


def changed(text: str = STREAM) -> tuple[int, str]:
    """How many allocations changed, and the module then, verified."""
    with ir.Context():
        module = ir.Module.parse(text)
        count = allocate_at_once(module)
        module.operation.verify()
        return count, str(module)


def test_memory_is_taken_before_the_call_begins_and_never_given_to_the_queue() -> None:
    count, text = changed()
    lines = [line.strip() for line in text.splitlines()]
    assert count == 2
    taken = [line for line in lines if " = stream.resource.alloc " in line]
    assert [line.split(" : ")[1] for line in taken] == [
        "!stream.resource<external>{%arg0}",
        "!stream.resource<transient>{%arg0}",
    ]
    assert all("uninitialized" in line for line in taken) and "on(#hal.device.promise<@device>)" in taken[1]
    assert sum("stream.timepoint.immediate" in line for line in lines) == 2


def test_what_waits_for_something_else_stays_in_the_queue_in_order() -> None:
    _, text = changed()
    (left,) = [line for line in text.splitlines() if "stream.resource.alloca " in line]
    (freed,) = [line for line in text.splitlines() if "stream.resource.dealloca" in line]
    (executed,) = [line.split(" = ")[0].strip() for line in text.splitlines() if "stream.cmd.execute" in line]
    assert "await(%arg1)" in left
    assert f"await({executed})" in freed, "it waited for the end of what is no longer in the queue"


def test_a_function_without_memory_stays_as_it_is() -> None:
    text = "util.func public @step(%x: index) -> index { util.return %x : index }"
    assert changed(text)[0] == 0
