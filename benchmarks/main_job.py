"""The main job against the plain fp32 export of the same model: size, accuracy, speed and load, side by side in one run.

    python benchmarks/main_job.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

Builds both packs with the command line (minutes), then measures all files in turn, session by session. Run it alone.
"""

from side_by_side import Build, compare, parser

BUILDS = {
    "int8, same": Build(["--student", "same", "--prune-heads", "0"], times=2.2, lost=0.6),
    "int8, 17M, 25 % of heads pruned": Build(["--student", "17M", "--prune-heads", "25%"], times=4.5, keeps=0.99),
}

if __name__ == "__main__":
    compare(parser(__doc__, "build/main_job").parse_args(), BUILDS)
