"""onnxruntime on a CPU."""

from edgepack.plan.runtime import AndroidArtefact, Costs, NpmPackage, RuntimeFacts

# As benchmarks/runtime_versions.py finds it: ModernBERT's attention mask is known from 1.20 on, embeddings in blocks from 1.23 on.
OLDEST = {"fp32": (1, 20), "fp16": (1, 20), "int8": (1, 23), "int4": (1, 23)}

FACTS = RuntimeFacts(
    name="onnxruntime",
    format="onnx",
    rank=0,
    licence="MIT",
    script="run_onnxruntime.py",
    wheels=("onnxruntime", "numpy", "tokenizers"),
    module_files=("open_onnxruntime.py", "session_onnxruntime.py"),
    module="onnxruntime",
    version="1.31.1",
    unpacked_bytes={"aarch64": 55_916_689, "x86_64": 64_463_966},
    oldest=OLDEST,
    keeps_weight_cache=True,
    providers={
        "coreml": "CoreMLExecutionProvider",
        "gpu": "CUDAExecutionProvider",
        "nnapi": "NnapiExecutionProvider",
        "openvino": "OpenVINOExecutionProvider",
        "qnn": "QNNExecutionProvider",
        "xnnpack": "XnnpackExecutionProvider",
    },
    costs=Costs(
        attention_efficiency=0.27,
        ffn_element_macs=20,
        hidden_element_macs=42,
        layer_overhead_ms=0.02,
        session_ms=5.0,
        session_ms_per_layer=1.8,
        session_ms_per_mb=0.42,
        session_mb=17.0,
        session_mb_per_layer=0.0,
        widest_held=1.0,
        mean_error_of_encoders={"latency_ms": 0.13, "load_ms": 0.33, "ram_mb": 0.03, "file_mb": 0.002},
        mean_error_of_decoders={"latency_ms": 0.15, "load_ms": 0.32, "ram_mb": 0.03, "file_mb": 0.003},
    ),
    npm=NpmPackage(name="onnxruntime-node", version="1.30.0"),
    android=AndroidArtefact(
        coordinate="com.microsoft.onnxruntime:onnxruntime-android",
        native_bytes={"arm64-v8a": 32_232_640, "armeabi-v7a": 22_809_264, "x86_64": 38_573_188},
        native_source="read from onnxruntime-android 1.29.0's .aar",
    ),
    java="com.microsoft.onnxruntime:onnxruntime",
)
