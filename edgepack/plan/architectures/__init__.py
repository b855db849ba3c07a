"""Architectures: one file a family, found by its model_type."""
