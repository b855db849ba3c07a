"""Facts of this machine, and a pack dropped from its page cache, for a runtime of JavaScript, which can do neither: `host.py [PACK]`."""

import json
import sys
from pathlib import Path

import machine

if __name__ == "__main__":
    for folder in sys.argv[1:]:
        machine.drop_from_cache(Path(folder))
    print(json.dumps({"machine": machine.facts(), "saturates_u8s8": machine.saturates_u8s8()}))
