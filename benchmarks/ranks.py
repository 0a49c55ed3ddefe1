# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What sharing channels gains, and if it is chosen: ``python -m pock.benchmarks.ranks`` prints a table.

Each program is compiled for all cores to share each dispatch, and for each to have a part of the channels;
both are loaded in one process, which takes turns with them. Times are medians of whole steps.
"""

from pock.compiler import SGD, Division, Scheme, TrainingTask, trace, worthwhile_division
from pock.compiler.analysis.ranks import estimate
from pock.compiler.opt import run_pipeline
from pock.compiler.sharding import divided
from pock.compiler.stages import masked, pruned
from pock.compiler.torch_ir import step_of

from .machine import processors
from .shards import milliseconds
from .workloads import WORKLOADS

CASES = (
    ("mobilenetv2-0.35", 1, "sparse"),
    ("mobilenetv2-128", 1, "sparse"),
    ("mobilenetv2-128", 1, "full"),
    ("resnet50", 1, "sparse"),
    ("bert-small", 1, "sparse"),
    ("bert-small", 1, "full"),
    ("llama-small", 1, "sparse"),
    ("resnet50", 8, "sparse"),
    ("llama-small", 8, "sparse"),
)
"""Workloads, batches and schemes."""


def main() -> None:
    """Print the table."""
    print("| workload | batch | scheme | exchanges | KB each | waiting | shared, ms | divided, ms | chosen |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, size, kind in CASES:
        workload = WORKLOADS[name]
        built = workload.build(size)
        names = workload.trained(kind, [name for name, _ in built.model.named_parameters()])
        scheme = Scheme.last_layer(*names)
        program = trace(TrainingTask(built.model, (built.inputs,), (built.targets,), built.loss))
        module = program.copy_module()
        run_pipeline(module, [*masked(scheme), *pruned()])
        alone = estimate(step_of(module))
        shared = estimate(step_of(divided(module, Division(ranks=processors()))[0]))
        batch = (built.inputs.numpy(), built.targets.numpy())
        times = milliseconds(program, scheme, batch, [Division(), Division(ranks=processors())])
        cells = [
            name,
            str(size),
            kind,
            str(shared.exchanges),
            f"{shared.exchanged / max(shared.exchanges, 1) / 1e3:.0f}",
            f"{shared.waited / alone.products:.0%}",
            *(f"{each:.2f}" for each in times),
            "divided" if worthwhile_division(program, scheme, SGD(), processors()).ranks > 1 else "shared",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
