"""The library calls: they join the rooms and decide nothing that a room knows."""
