"""The main job against the plain fp32 export of the same model: size, accuracy, speed and load, side by side in one run.

    python benchmarks/main_job.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

Builds both packs with the command line (minutes), then measures all files in turn, session by session. Run it alone.
"""

from side_by_side import arguments, compare

BUILDS = {
    "int8, same": ["--student", "same", "--prune-heads", "0"],
    "int8, 17M, 25 % of heads pruned": ["--student", "17M", "--prune-heads", "25%"],
}

if __name__ == "__main__":
    compare(arguments(__doc__, "build/main_job"), BUILDS)
