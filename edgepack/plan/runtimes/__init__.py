"""One file for each runtime, found by its name: everything that edgepack knows about it. See `plan/runtime.py` for the record.

To add one: a file here with `FACTS`, whose name is the runtime's with `_` for `-`, and its script in targets/.
"""
