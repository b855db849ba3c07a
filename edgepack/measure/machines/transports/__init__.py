"""Ways to a machine, one file each, found by the scheme of the address. To add one, add a file here.

A transport has `EXAMPLE`, an address of its kind; `EXTRA`, what edgepack's extra of its name gives, where there is such an extra;
`TAKES`, the settings of targets.toml that it honours (without it, those of a board: see `targets.py`); `check(target)`, which refuses a
wrong address before any work; `opened(target)`, a context manager that gives a Machine (see `machine.py`); and `NO_SETUP`, the reason why
there is nothing to set up, or a Machine with `set_up` and `remove`. One over a wire only has to start a command there with its standard
input and output at hand: see `remote.py`.
`tests/measure/test_transports.py` tries all that it finds here.
"""
