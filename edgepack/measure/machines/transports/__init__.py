"""Ways to a machine, one file each, found by the scheme of its address.

A transport has `check(target)`, which refuses a wrong address before any work, and `opened(target)`, a context manager that
gives a Machine. One over a wire only has to start a command there with its standard input and output at hand: see `remote.py`.
"""
