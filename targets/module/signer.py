"""Whose signature, which name and which versions this module asks of its model.

These stand in the code and not beside the model: who can exchange the model could exchange a key beside it as well. A signature proves
that module.json, and with it the hash of every model file, was written by whoever holds one of the private keys. It does not prove
that this code is untouched.
"""

PUBLIC_KEYS = ()  # ed25519, 64 hexadecimal digits each; none where the module was shipped unsigned
NAME = ""  # of the module; empty where no module was shipped, as when edgepack opens a pack
MINIMUM_VERSION = "0.0.0"  # of the oldest model that this code opens
