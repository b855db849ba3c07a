"""What each precision costs and saves, on one untrained-on model: every row is `edgepack build` with --student same and these flags.

    python benchmarks/precisions.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

Run it alone: the files take turns, session by session.
"""

from side_by_side import Build, compare, parser

_FLAGS = {
    "fp32": ["--precision", "fp32"],
    "fp16": ["--precision", "fp16"],
    "int8": ["--precision", "int8"],
    "int8, not packed": ["--precision", "int8", "--no-prepack"],
    "int8, not smoothed": ["--precision", "int8", "--smoothing", "0"],
    "int8, static": ["--precision", "int8", "--activations", "static"],
    "int8, the 4 most sensitive groups in fp32": ["--precision", "int8", "--sensitive", "4"],
    "int8, embeddings in 4 bits": ["--precision", "int8", "--embedding-bits", "4"],
}
BUILDS = {name: Build(["--student", "same", "--prune-heads", "0", *flags]) for name, flags in _FLAGS.items()}

if __name__ == "__main__":
    arguments = parser(__doc__, "build/precisions")
    arguments.set_defaults(lengths=[16, 128], sessions=5, loads=5)
    compare(arguments.parse_args(), BUILDS)
