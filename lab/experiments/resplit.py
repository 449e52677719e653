"""The same corpus with more validation photos, for finer intervals.

    python -m lab.experiments.resplit CORPUS FOLDER --validation 3000

FOLDER gets links to the photos and captions of CORPUS (laid out as Flickr8k is) and split lists of its own: to the photos of the
dev list, training photos drawn at random are added until there are as many as wanted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

LISTS = {"train": "Flickr_8k.trainImages.txt", "dev": "Flickr_8k.devImages.txt"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.experiments.resplit", description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--validation", type=int, default=3000, help="validation photos (default 3000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    lists = {split: (arguments.corpus / name).read_text().split() for split, name in LISTS.items()}
    missing = arguments.validation - len(lists["dev"])
    if not 0 <= missing < len(lists["train"]):
        least, most = len(lists["dev"]), len(lists["dev"]) + len(lists["train"]) - 1
        parser.error(f"--validation: found {arguments.validation}, expected {least} to {most}")
    drawn = np.random.default_rng(arguments.seed).permutation(sorted(lists["train"]))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for path in arguments.corpus.iterdir():
        if path.name not in LISTS.values():
            (arguments.folder / path.name).symlink_to(path.resolve())
    for split, names in {"train": drawn[missing:], "dev": [*lists["dev"], *drawn[:missing]]}.items():
        (arguments.folder / LISTS[split]).write_text("\n".join(names) + "\n")


if __name__ == "__main__":
    main()
