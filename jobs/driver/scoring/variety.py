"""How varied the captions of systems are, with one caption for each photo.

Captioners that look less at the photo repeat themselves. Of the measures in use, those are reported that are defined for one
caption a photo (van Miltenburg et al., 2018, "Measuring the diversity of automatic image descriptions"; Shetty et al., 2017,
"Speaking the same language"): the distinct captions, the words in use, and the share of captions that the training captions do
not contain. mBLEU-4 and Div-n compare several captions of the same photo with each other, which this project does not
generate: the hypotheses of a beam differ in a word or two, so they would measure the search. Self-BLEU over different photos
grows with the number of photos.

All figures grow or shrink with the number of captions, so systems are compared with one caption for each photo. There are no
intervals: a bootstrap sample that contains a photo twice repeats its caption.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

FIGURES = ("distinct_captions", "distinct_share", "distinct_words", "novel_share")


def variety(captions: DataFrame, training: DataFrame) -> dict[str, dict[str, float]]:
    """Measures how varied the captions of each system are.

    If a photo has several captions (a human's), one of them counts, the first by a hash.

    Args:
        captions: system, image_id and hypothesis, as normalised text.
        training: The training captions; `text` is normalised.

    Returns:
        {system: {distinct_captions, distinct_share (of the photos), distinct_words, novel_share}}. A novel caption is equal to
        no training caption.
    """
    one_each = captions.groupBy("system", "image_id").agg(
        F.min_by("hypothesis", F.sha2("hypothesis", 256)).alias("caption")
    )
    known = training.select(F.col("text").alias("caption")).distinct().withColumn("known", F.lit(1))
    words = F.explode_outer(F.filter(F.split("caption", " "), lambda word: word != ""))
    rows = one_each.join(known, "caption", "left").select("system", "image_id", "caption", "known", words.alias("word"))
    photos = F.count_distinct("image_id")
    novel = F.count_distinct(F.when(F.col("known").isNull(), F.col("image_id")))
    counted = rows.groupBy("system").agg(
        F.count_distinct("caption").alias("distinct_captions"),
        (F.count_distinct("caption") / photos).alias("distinct_share"),
        F.count_distinct("word").alias("distinct_words"),
        (novel / photos).alias("novel_share"),
    )
    return {row.system: {name: row[name] for name in FIGURES} for row in counted.collect()}
