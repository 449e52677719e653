import numpy as np
import pandas as pd
import pytest

from udfs.scoring.bleu import BleuCounts, bleu_counts, bleu_scores
from udfs.scoring.group_scores import score_group


def counts(hypothesis: str, reference: str) -> list[int]:
    return bleu_counts(hypothesis.split(), [reference.split()]).as_row()


def test_a_group_has_the_bleu_of_its_summed_counts():
    pairs = [("a dog runs on the grass", "a dog runs on the wet grass"), ("a man", "a man on a bike sits there")] * 700
    rows = pd.DataFrame(
        {"image_id": [f"{n}.jpg" for n in range(len(pairs))], "counts": [counts(*pair) for pair in pairs]}
    )
    (found,) = score_group(200, 0, 0.95, ("object", "dog"), rows).to_dict("records")
    whole = bleu_scores(BleuCounts.from_row(np.sum([counts(*pair) for pair in pairs], axis=0)))
    assert (found["kind"], found["name"], found["photos"]) == ("object", "dog", 1400)
    assert found["bleu4"] == pytest.approx(whole["bleu4"])
    assert found["low"] < found["bleu4"] < found["high"]
    few = score_group(200, 0, 0.95, ("object", "dog"), rows[:20]).iloc[0]
    assert few.high - few.low > 3 * (found["high"] - found["low"])
