"""Attention that transformers computes in the layer itself, in a form that exports: one file a kind, named by a family's file."""
