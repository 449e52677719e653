"""Words of two populations, and the objects that captions name."""

from jobs.driver.validity.population import named_objects, nouns, token_table


def test_words_are_counted_with_their_frames(spark):
    rows = [("1", "a dog on the grass"), ("1", "the dog is black"), ("2", "two dogs run"), ("2", "a black dog")]
    training = spark.createDataFrame(
        [(name, text.split()) for name, text in rows], "image_id string, words array<string>"
    )
    tokens = token_table(training, training.where("image_id = '2'"))
    assert tokens.loc["dog", ["training", "training_photos", "other", "other_photos", "framed"]].tolist() == [
        3,
        2,
        1,
        1,
        2,
    ]
    assert tokens.loc["black", "framed"] == 0
    assert nouns(tokens, least=1) == ["dog", "grass"]
    found = named_objects(training, ["dog", "grass"]).collect()
    assert sorted((row.image_id, row.token) for row in found) == [("1", "dog")]  # others are in one of two captions
