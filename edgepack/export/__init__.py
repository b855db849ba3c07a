"""Model to file, and file to smaller file: each function here takes a path or a model and writes a path."""
