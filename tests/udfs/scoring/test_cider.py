import json
from pathlib import Path

import pandas as pd
import pytest

from udfs.scoring.cider import cider_d, count_documents

# Captions with the scores that the COCO caption evaluation's own code gave them.
REFERENCE = json.loads((Path(__file__).parent / "coco_reference.json").read_text())
CAPTIONS = REFERENCE["captions"]


def documents(batches: int) -> dict[str, int]:
    rows = pd.DataFrame(CAPTIONS)
    parts = [part for batch in range(batches) for part in count_documents(iter([rows.iloc[batch::batches]]))]
    counts = pd.concat(parts).groupby("ngram").photos.sum()
    return counts[counts > 1].to_dict()


def test_equals_the_reference_implementation():
    known = documents(1)
    scores = [
        cider_d(row["hypothesis"].split(), [text.split() for text in row["references"]], known, len(CAPTIONS))
        for row in CAPTIONS
    ]
    assert scores == pytest.approx([row["cider_d"] for row in CAPTIONS], abs=1e-9)
    assert sum(scores) / len(scores) == pytest.approx(REFERENCE["cider_d"], abs=1e-9)
    assert len(set(scores)) > 5


def test_documents_add_up_over_parts():
    assert documents(3) == documents(1)
    assert documents(1)["a"] == 8, "the photos that have it in a reference, however often"
