"""Names of the files that an ONNX export writes. Light: imports nothing."""

GRAPH_FILE = "graph.onnx"  # an encoder before its ops are fused: int8 starts from it
SCORE_FILE = "score.onnx"  # a decoder with logits for every token
MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"  # the weights of MODEL_FILE and SCORE_FILE
