"""Number formats of weights, one file each, found by its name: see edgepack/plan/precision.py."""
