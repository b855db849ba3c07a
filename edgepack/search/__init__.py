"""Searches for the best models that a device can hold: candidates are predicted, trained for a short time, and the best are built.

The rooms below do the work: a candidate is a Recipe, and what it costs and scores comes from plan/ and pipeline/. Nothing here trains,
quantizes or measures by itself.
"""
