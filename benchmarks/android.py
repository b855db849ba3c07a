"""The Android module's Java on the JVM here: parity with Hugging Face's tokenizers, texts a second, and the whole class path.

    python benchmarks/android.py TOKENIZER_JSON... --data DATA
    python benchmarks/android.py --classes-jar CLASSES_JAR

Short texts are those of 20 to 80 characters; the rate is the best of several rounds over them, one thread, warm. CLASSES_JAR is
that of onnxruntime-android's .aar: the module is compiled against it and against edgepack's signature stubs, and the classes
are compared byte by byte.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from jvm import compiled, write_characters
from parity_texts import parity_texts

from edgepack.ship.jvm.sources import STUBS, write_sources
from edgepack.ship.jvm.supported import check_tokenizer

SECONDS = 12
SHORT = range(20, 81)


def answers(classes: Path, tokenizer: Path, characters: Path, questions: list[dict]) -> list[dict]:
    """As the tests ask, but with all of the JVM's compiler: this is about speed."""
    command = ["java", "-Xmx1g", "-cp", str(classes), "edgepack.module.Lines", str(tokenizer), str(characters)]
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def row(classes: Path, tokenizer: Path, texts: list[str], place: Path) -> dict[str, object]:
    from tokenizers import Tokenizer

    check_tokenizer(tokenizer)
    short = [text for text in texts if len(text) in SHORT][:5000]
    characters = write_characters(tokenizer, place)
    questions = [{"op": "encode", "text": text} for text in texts]
    *result, speed = answers(classes, tokenizer, characters, [*questions, {"op": "speed", "texts": short, "seconds": SECONDS}])
    wanted = Tokenizer.from_file(str(tokenizer)).encode_batch(texts)
    pairs = list(zip(result, wanted, strict=True))
    spans = (
        ([list(span) for span in zip(each["starts"], each["ends"], strict=True)], [list(span) for span in two.offsets])
        for each, two in pairs
    )
    return {
        "tokenizer": tokenizer.parent.name,
        "model": json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["type"],
        "texts": len(texts),
        "equal_ids": sum(each["ids"] == two.ids for each, two in pairs),
        "equal_offsets": sum(each == two for each, two in spans),
        "short_texts": len(short),
        "texts_per_s": round(speed["texts_per_s"]),
    }


def compile_against(classes_jar: Path, place: Path) -> None:
    """Says how many classes there are, and how many do not hang on which of the two they were compiled against."""
    sources = [str(path) for path in write_sources(place / "sources", "com.example.intents", "intents", "onnx")]
    android = [str(path) for path in sorted([*(STUBS / "android").rglob("*.java"), *(STUBS / "org" / "jspecify").rglob("*.java")])]
    stubs = [str(path) for path in sorted(STUBS.rglob("*.java"))]
    javac = ["javac", "--release", "11", "-g:none"]
    subprocess.run([*javac, "-cp", str(classes_jar), "-d", str(place / "real"), *sources, *android], check=True)
    subprocess.run([*javac, "-d", str(place / "stubs"), *sources, *stubs], check=True)
    classes = sorted(path.relative_to(place / "real") for path in (place / "real" / "com").rglob("*.class"))
    same = sum((place / "real" / path).read_bytes() == (place / "stubs" / path).read_bytes() for path in classes)
    print(f"{len(classes)} classes compiled against {classes_jar.name}; {same} of them are the same bytes as those against the stubs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizers", nargs="*", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--classes-jar", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if given.classes_jar:
            compile_against(given.classes_jar, place)
        texts = parity_texts(given.data)
        for tokenizer in given.tokenizers:
            print(json.dumps(row(compiled(place), tokenizer, texts, place)), flush=True)


if __name__ == "__main__":
    main()
