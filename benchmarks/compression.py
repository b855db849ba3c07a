"""How small and fast a student can get: packs by goal, against the plain fp32 export of their teacher.

    python benchmarks/compression.py sst2 --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2
    python benchmarks/compression.py banking77 --data ../shared/data/banking77
    python benchmarks/compression.py clinc150 --data ../shared/data/clinc150
    python benchmarks/compression.py entities --model ../shared/models/e5-masakhaner --data ../shared/data/masakhaner2
    python benchmarks/compression.py hausa --model ../shared/models/e5-masakhaner --data ../shared/data/masakhaner2/hau

Each row is one `edgepack build` with the flags below. Teachers of intents are trained first. `--build-only` leaves the timing
to a second run on a quiet machine; what stands in --work is not built again.
"""

from pathlib import Path

from fragments import write_fragments
from side_by_side import Build, compare, parser
from teachers import fine_tuned, joined_languages

FRAGMENTS = "FRAGMENTS"  # stands for the file that is written beside the packs
LANGUAGES = ("hau", "swa", "yor")

_FRAGMENTS = ["--unlabelled", FRAGMENTS, "--batch-rows", "64"]
_TINY = ["--vocabulary", "data", *_FRAGMENTS, "--learning-rate", "3e-4", "--epochs", "6"]


def _shape(student: str, heads: str, neurons: str) -> list[str]:
    return ["--student", student, "--prune-heads", heads, "--prune-ffn", neurons, "--precision", "int8"]


_SMALLER = [*_shape("3x384", "50%", "67%"), "--refit", *_FRAGMENTS, "--learning-rate", "2e-4", "--epochs", "4"]
_INTENTS = {
    "4x, half the layers": Build([*_shape("3x384", "25%", "0"), "--learning-rate", "2e-4", "--epochs", "4"], times=4, keeps=0.99),
    "10x": Build(
        [*_shape("2x384", "50%", "50%"), "--vocabulary", "data", "--learning-rate", "3e-4", "--epochs", "6"], times=10, keeps=0.96
    ),
}
TABLES = {
    "sst2": {
        "5x, half the layers": Build([*_shape("3x384", "25%", "33%"), "--epochs", "6"], times=5, lost=0.0),
        "8x": Build(_SMALLER, times=8, keeps=0.99),
        "15x": Build([*_shape("2x384", "75%", "70%"), *_TINY], times=15, keeps=0.97),
        "25x": Build([*_shape("2x384", "83%", "83%"), *_TINY], times=25, keeps=0.95),
    },
    "banking77": _INTENTS,
    "clinc150": _INTENTS
    | {
        "4x, half the layers": Build(
            [*_shape("3x384", "25%", "10%"), "--refit", "--learning-rate", "2e-4", "--epochs", "6"], times=4, keeps=0.99
        ),
        "4x, all layers": Build(
            [*_shape("6x384", "50%", "70%"), "--refit", "--learning-rate", "2e-4", "--epochs", "6"], times=4, keeps=0.99
        ),
        "half the layers": Build([*_shape("3x384", "0", "0"), *_FRAGMENTS, "--learning-rate", "2e-4", "--epochs", "3"], keeps=0.99),
    },
    "entities": {"13M": Build([*_shape("6x384", "50%", "50%"), "--learning-rate", "3e-4", "--epochs", "3"], lost=1.5)},
    "hausa": {"half the layers": Build([*_shape("6x384", "0", "0"), "--learning-rate", "3e-4", "--epochs", "3"], keeps=0.99)},
}


def main() -> None:
    result = parser(__doc__, "")
    result.add_argument("table", choices=TABLES)
    result.add_argument("--rows", nargs="+", help="only these of the table")
    result.set_defaults(lengths=[16, 128], sessions=5, loads=5)
    wanted = result.parse_args()
    wanted.work = wanted.work if wanted.work.name else Path("build/compression") / wanted.table
    builds = {name: build for name, build in TABLES[wanted.table].items() if name in (wanted.rows or [name])}
    if wanted.table == "entities":
        wanted.data = joined_languages(wanted.data, LANGUAGES, wanted.work / "data")
    wanted.model = wanted.model or fine_tuned(wanted.data, wanted.work)
    fragments = wanted.work / "fragments.txt"
    if any(FRAGMENTS in build.flags for build in builds.values()):
        write_fragments(wanted.data, 3, fragments)
    compare(wanted, {name: build.with_file(FRAGMENTS, fragments) for name, build in builds.items()})


if __name__ == "__main__":
    main()
