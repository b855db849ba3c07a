"""The command line: a command is a library call and a print. Imports every room; no room imports it."""

import os

# pydantic would look for plugins in every installed package, a tenth of the time that `edgepack profiles` takes. We use none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
