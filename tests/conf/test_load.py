import pytest

import conf
from conf.keys import describe, keys_of


@pytest.mark.parametrize("name", ["local", "flickr8k", "thesis", "databricks"])
def test_shipped_configurations_load(name):
    conf.load(f"conf/{name}.yaml")


def test_overrides_win_over_the_file():
    settings = conf.load("conf/thesis.yaml", ["train.epochs=3", "extractor.weights=random:7"])
    assert (settings.train.epochs, settings.extractor.weights, settings.extractor.layer) == (3, "random:7", "fc2")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epoch=3", ["train.epoch", "train.epochs"]),
        ("epochs=3", ["epochs", "unknown key"]),
        ("train.epochs=many", ["train.epochs", "'many'", "whole number"]),
        ("train.epochs=0", ["train.epochs", "0", "at least 1"]),
        ("model.dropout=1.5", ["model.dropout", "1.5"]),
        ("storage.format=orc", ["storage.format", "orc", "delta | parquet"]),
        ("optimizer.name=adm", ["optimizer.name", "adam"]),
        ("train.epochs", ["train.epochs", "key=value"]),
        ("corpus.root=", ["corpus.root"]),
        ("train={epochs: 3}", ["train", "unknown key"]),
        ("optimizer.learning_rate=nan", ["optimizer.learning_rate", "nan"]),
    ],
)
def test_an_impossible_override_names_the_key(override, words):
    with pytest.raises(conf.ConfigError) as error:
        conf.load(None, [override])
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("text", ["- a\n- b\n", "train: [", "train:\n  epochz: 3\n", "train:\n"])
def test_a_broken_file_is_refused(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(conf.ConfigError):
        conf.load(str(path))


def test_a_missing_file_is_refused():
    with pytest.raises(conf.ConfigError, match=r"absent\.yaml"):
        conf.load("absent.yaml")


def test_help_describes_every_key():
    text = describe(conf.Settings)
    assert all(key in text for key in keys_of(conf.Settings))
