"""LiteRT on a CPU, whose kernels are XNNPACK's."""

from edgepack.plan.runtime import AndroidArtefact, Costs, RuntimeFacts

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
    costs=Costs(
        attention_efficiency=0.265,
        ffn_element_macs=20,
        hidden_element_macs=16,
        layer_overhead_ms=0.016,
        session_ms=14.5,
        session_ms_per_layer=2.4,
        session_ms_per_mb=0.5,
        session_mb=9.7,
        session_mb_per_layer=1.0,
        widest_held=8.0,
        mean_error_of_encoders={"latency_ms": 0.08, "load_ms": 0.19, "ram_mb": 0.04, "file_mb": 0.03},
    ),
    always_packs=True,
    keeps_weight_cache=True,
    android=AndroidArtefact(
        coordinate="com.google.ai.edge.litert:litert",
        native_bytes={},
        native_source="not read: ask its .aar",
        times_ops=False,
    ),
)
