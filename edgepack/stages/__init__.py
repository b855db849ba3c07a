"""Model to model, one verb a file: each stage is a function `stage(model, step, context) -> model`."""
