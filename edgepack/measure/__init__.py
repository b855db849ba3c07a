"""Measures a pack: a target runs each job in a process of its own, statistics are made here, every number keeps its origin."""
