"""litert-torch's own export of a decoder, for a test that compares: `litert_own.py MODEL OUT PROMPT CACHE`, a process of its own.

That export asks TensorFlow for a schema which ai-edge-litert brings too; it takes even heads only.
"""

import sys
import types

import litert_torch  # noqa: F401  torch looks for a real TensorFlow as it loads: before there is one in name
from ai_edge_litert import schema_py_generated

PLACE = "tensorflow.lite.python"


def main() -> None:
    for name in ("tensorflow", "tensorflow.lite", PLACE):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[PLACE].schema_py_generated = sys.modules[f"{PLACE}.schema_py_generated"] = schema_py_generated
    from litert_torch.generative.export_hf.export import export

    model, out, prompt, cache = sys.argv[1:]
    lengths = {"prefill_lengths": [int(prompt)], "cache_length": int(cache)}
    export(model=model, output_dir=out, **lengths, quantization_recipe=None, bundle_litert_lm=False, externalize_embedder=False)


if __name__ == "__main__":
    main()
