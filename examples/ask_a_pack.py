"""Loads a pack and asks it, cell by cell as in a notebook.

python examples/ask_a_pack.py packs/mine "turn on the light" "play some music"
"""

# %% Load the pack: every file's hash is checked first.
import sys

import edgepack

pack, *texts = sys.argv[1:]
answer = edgepack.load(pack)

# %% One text: the likeliest label.
for text in texts:
    labels = answer(text)
    print(f"{text!r}: {labels.label} ({labels.score:.3f})")

# %% All labels of the first text, the likeliest first.
for label in answer(texts[0]).scores:
    print(f"  {label.score:.3f} {label.name}")

# %% Free the model.
answer.close()
