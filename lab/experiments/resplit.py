"""Makes a corpus with more validation photos from another one, for narrower confidence intervals.

    python -m lab.experiments.resplit CORPUS FOLDER --validation 3000

FOLDER gets links to the photos and captions of CORPUS, which has Flickr8k's layout, and new split lists: training photos,
drawn at random, are moved to the dev list until it has the wanted number.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

LISTS = {"train": "Flickr_8k.trainImages.txt", "dev": "Flickr_8k.devImages.txt"}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lab.experiments.resplit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="folder of the existing corpus")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the new corpus, which is created")
    parser.add_argument(
        "--validation", type=int, default=3000, help="validation photos of the new corpus (default 3000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    arguments = parser.parse_args()
    lists = {split: (arguments.corpus / name).read_text().split() for split, name in LISTS.items()}
    missing = arguments.validation - len(lists["dev"])
    if not 0 <= missing < len(lists["train"]):
        lowest, highest = len(lists["dev"]), len(lists["dev"]) + len(lists["train"]) - 1
        parser.error(f"--validation: found {arguments.validation}, expected {lowest} to {highest}; change it")
    drawn = np.random.default_rng(arguments.seed).permutation(sorted(lists["train"]))
    _link_files(arguments.corpus, arguments.folder)
    for split, names in {"train": drawn[missing:], "dev": [*lists["dev"], *drawn[:missing]]}.items():
        (arguments.folder / LISTS[split]).write_text("\n".join(names) + "\n")


def _link_files(corpus: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in corpus.iterdir():
        if path.name not in LISTS.values():
            (folder / path.name).symlink_to(path.resolve())


if __name__ == "__main__":
    main()
