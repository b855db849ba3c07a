"""LiteRT on a CPU, whose kernels are XNNPACK's."""

from edgepack.plan.runtime import AndroidArtefact, RuntimeFacts

FACTS = RuntimeFacts(
    name="litert",
    format="tflite",
    rank=2,
    licence="Apache-2.0",
    script="run_litert.py",
    wheels=("ai-edge-litert", "numpy", "ml_dtypes", "tokenizers"),  # the first names tools of its own as needed too: left out
    module_files=("litert_decoder.py", "open_litert.py", "session_litert.py"),
    module="ai_edge_litert.interpreter",
    version="2.3.0",
    unpacked_bytes={"aarch64": 42_060_935, "x86_64": 59_646_835},
    builders={"litert-torch": "litert_torch", "ai-edge-quantizer": "ai_edge_quantizer", "ai-edge-litert": "ai_edge_litert"},
    providers={"xnnpack": "xnnpack"},  # it takes what it can without being asked
    always_packs=True,
    keeps_weight_cache=True,
    android=AndroidArtefact(
        coordinate="com.google.ai.edge.litert:litert",
        native_bytes={},
        native_source="not read: ask its .aar",
    ),
)
