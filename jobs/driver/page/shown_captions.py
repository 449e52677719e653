"""The captions that a page shows: the best, those in the middle, and the worst."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from udfs.scoring.bleu import ORDERS

SHOWN = 6  # captions of each kind


def caption_score() -> Column:
    """Returns BLEU-4 of one caption, with 1 added to the counts of n-grams with n > 1 (Lin and Och, 2004).

    Without that, a caption with no matching 4-gram, as most have, would score 0.
    """
    added = [0.0 if order == 1 else 1.0 for order in ORDERS]
    logs = [
        F.log((F.col("matches")[place] + more) / F.greatest(F.col("totals")[place] + more, F.lit(1.0)))
        for place, more in enumerate(added)
    ]
    brevity = F.least(F.lit(1.0), F.exp(1 - F.col("reference_length") / F.greatest("hypothesis_length", F.lit(1))))
    score = brevity * F.exp(sum(logs[1:], logs[0]) / len(ORDERS))
    return F.when((F.col("hypothesis_length") > 0) & (F.col("matches")[0] > 0), score).otherwise(0.0)


def shown_captions(predictions: DataFrame) -> dict[str, list[dict]]:
    """Chooses captions by their scores, without showing a caption twice in a list.

    Args:
        predictions: A run's rows of the table `predictions` for one split.

    Returns:
        {"best": rows, "median": rows, "worst": rows}, each row with image_id, hypothesis, references and score; empty if there
        are no predictions.
    """
    scores = predictions.select("image_id", "hypothesis", caption_score().alias("score")).toPandas()
    if scores.empty:
        return {}
    scores = scores.sort_values(["score", "image_id"], ascending=[False, True]).reset_index(drop=True)
    from_middle = (scores.index - len(scores) / 2).to_series().abs().argsort(kind="stable")
    orders = {"best": scores, "median": scores.iloc[from_middle], "worst": scores[::-1]}
    lists = {kind: rows.drop_duplicates("hypothesis").head(SHOWN) for kind, rows in orders.items()}
    names = sorted({name for rows in lists.values() for name in rows.image_id})
    shown = predictions.where(F.col("image_id").isin(names)).select("image_id", "references").collect()
    references = {row.image_id: list(row.references) for row in shown}
    return {
        kind: [{**row, "references": references[row["image_id"]]} for row in rows.to_dict("records")]
        for kind, rows in lists.items()
    }
