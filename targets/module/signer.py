"""The key whose signature this module asks for: ed25519, 64 hexadecimal digits; empty where the module was shipped unsigned.

It stands in the code and not beside the model: who can exchange the model could exchange a key beside it as well. What it proves is
that module.json, and with it the hash of every model file, was written by whoever holds the private key. It does not prove that this
code is untouched.
"""

PUBLIC_KEY = ""
