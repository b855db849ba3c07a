"""No config of a model chooses code, and what transformers cannot make of a folder is told without a traceback."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from small import HIDDEN, LAYERS, make_model

from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint, load_tokenizer
from edgepack.model.source import find_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make_model(folder)
    return folder


def changed(model, place, **keys):
    folder = shutil.copytree(model, place / "changed")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    return folder


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, "contains code of its own"),
        ({"text_config": {"auto_map": {"AutoModel": "evil.Model"}}}, "contains code of its own"),
        ({"custom_pipelines": {"x": {"impl": "evil.P"}}}, "contains code of its own"),
        ({"_attn_implementation": "evil/kernel"}, "chooses the code that computes the model: _attn_implementation is 'evil/kernel'"),
        ({"attn_implementation": {"": "evil/kernel:run"}}, "chooses the code"),
        ({"_attn_implementation_internal": "evil/kernel"}, "chooses the code"),
        ({"attn_implementation": "flash_attention_2"}, "chooses the code"),
        ({"experts_implementation": "evil/kernel"}, "chooses the code"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "are quantized already"),
    ],
)
def test_a_config_that_chooses_code_is_refused_before_anything_is_loaded(model, tmp_path, keys, says):
    with pytest.raises(EdgepackError, match=says):
        find_model(str(changed(model, tmp_path, **keys)), with_weights=False)


@pytest.mark.parametrize("value", [None, "eager", "sdpa"])
def test_what_transformers_itself_computes_is_taken(model, tmp_path, value):
    assert find_model(str(changed(model, tmp_path, _attn_implementation=value))).name == "changed"


@pytest.mark.parametrize("keys", [{"hidden_act": "evil"}, {"hidden_size": 7}, {"pad_token_id": 10**6}])
def test_what_transformers_cannot_load_is_the_users_to_mend(model, tmp_path, keys):
    with pytest.raises(EdgepackError, match="transformers cannot load changed|.*config.json.*|.*weights.*"):
        load_checkpoint(changed(model, tmp_path, **keys))


def test_an_adapter_beside_a_model_does_not_bring_another_model(model, tmp_path):
    """transformers would load the base that the adapter names, and leave the folder's own weights."""
    make_model(tmp_path / "other", seed=1)
    folder = changed(model, tmp_path)
    stated = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "other"), "task_type": "SEQ_CLS", "r": 2, "lora_alpha": 4}
    (folder / "adapter_config.json").write_text(json.dumps(stated | {"target_modules": ["query"]}))
    queries = [f"base_model.model.bert.encoder.layer.{layer}.attention.self.query" for layer in range(LAYERS)]
    sizes = {"lora_A": (2, HIDDEN), "lora_B": (HIDDEN, 2)}
    save_file(
        {f"{name}.{part}.weight": torch.zeros(size) for name in queries for part, size in sizes.items()},
        folder / "adapter_model.safetensors",
    )
    with pytest.raises(EdgepackError, match="holds a model and a LoRA adapter"):
        find_model(str(folder))


def test_code_of_a_tokenizer_is_not_run_and_nobody_is_asked(model, tmp_path):
    folder = changed(model, tmp_path)
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"}
    path.write_text(json.dumps(stated))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom transformers import PreTrainedTokenizerFast as Evil\n")
    assert load_tokenizer(folder).is_fast and not (tmp_path / "ran").exists()
