"""From a model to a file: ONNX and TFLite."""
