"""What onnxruntime's profiler says of single ops: which op, how long, and which execution provider ran it. Standard library alone."""

import re

_HASH = re.compile(r"_\d{9,}(?=_\d)")  # in the name of a part that a provider took: of the graph, and no two machines' alike
INTEGER_OPS = {
    "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "GatherBlockQuantized", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits",
    "QAttention", "QGemm", "QLinearMatMul", "QuantizeLinear",
}  # fmt: skip


def rows(events, warm_up_runs, runs) -> list:
    """[{op, ms, inside, integers, provider}] of one inference, in the order of the run; ms is the mean of the runs after the warm-up.

    A part of the graph that a provider took as a whole is one row: onnxruntime does not look inside.
    """
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    one_run = len(kernels) // (warm_up_runs + runs)
    timed = kernels[warm_up_runs * one_run :]
    ops = []
    for index in range(one_run):
        facts = timed[index]["args"]
        times = [event["dur"] for event in timed[index::one_run]]
        ops.append(
            {
                "op": _HASH.sub("", facts["op_name"]),
                "ms": sum(times) / len(times) / 1e3,
                "inside": None,
                "integers": facts["op_name"] in INTEGER_OPS,
                "provider": facts.get("provider"),
            }
        )
    return ops
