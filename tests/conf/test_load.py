import re
import tempfile

import pytest
import yaml
from conftest import ROOT

import conf
from conf.keys import describe, keys_of
from conf.schema import RENAMED


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


def test_yaml_runs_no_code(tmp_path):
    path, trace = tmp_path / "evil.yaml", tmp_path / "trace"
    path.write_text(f"run:\n  id: !!python/object/apply:os.mkdir ['{trace}']\n")
    with pytest.raises(conf.ConfigError, match=r"evil\.yaml.*python/object"):
        conf.load(str(path))
    assert not trace.exists()


def test_a_missing_file_is_refused():
    with pytest.raises(conf.ConfigError, match=r"absent\.yaml"):
        conf.load("absent.yaml")


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        ("corpus.root=data/sample", "text"),
        ("storage.format=delta", "delta | parquet"),
        ("train.epochs=20", "whole number of at least 1"),
        ("train.deterministic=true", "true or false"),
        ("decoding.beam_width=3", "whole number from 1 to 50"),
        ("model.dropout=0.5", "number from 0 to 0.99"),
        ("optimizer.learning_rate=0.001", "number of at least 1e-12"),
        ("recovery.take_over=false", "true or false"),
    ],
)
def test_help_shows_default_type_bounds_and_choices(key, accepted):
    lines = describe(conf.Settings).splitlines()
    (number,) = [number for number, line in enumerate(lines) if line.split(maxsplit=1)[0] == key]
    assert lines[number].split(maxsplit=1)[1] == accepted
    assert len(lines[number + 1].strip()) > 10, "its meaning"


def test_help_describes_every_key():
    """The keys are those of a dump, which lists what the settings hold."""
    sections = yaml.safe_load(conf.to_yaml(conf.Settings()))
    names = [f"{section}.{key}" for section, keys in sections.items() for key in keys]
    assert len(names) > 100
    shown = {line.split("=")[0].strip() for line in describe(conf.Settings).splitlines() if line.startswith("  ")}
    assert shown.issuperset(names)


@pytest.mark.parametrize(
    ("renamed", "key"),
    [
        ("train.optimizer=adam", "optimizer.name"),
        ("train.sync_every=2", "communication.gradient_accumulation_steps"),
        ("train.max_restarts=1", "recovery.max_restarts"),
        ("train.validation_share=0.2", "corpus.validation_fraction"),
        ("train.initial_bias=zeros", "model.initial_bias"),
        ("evaluate.no_repeated_trigram=true", "decoding.no_repeat_ngram_size"),
        ("compare.resamples=100", "bootstrap.resamples"),
        ("caption.weights=auto", "extractor.run_weights"),
    ],
)
def test_a_renamed_key_names_the_new_one(renamed, key):
    with pytest.raises(conf.ConfigError, match=f"unknown key; it is {re.escape(key)} now"):
        conf.load(None, [renamed])


def test_every_renamed_key_is_known_by_its_new_name_and_listed_in_the_changelog():
    keys = keys_of(conf.Settings)
    assert set(RENAMED.values()) <= set(keys)
    assert not set(RENAMED) & set(keys)
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert [old for old, new in RENAMED.items() if f"| `{old}` | `{new}` |" not in changelog] == []


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("run.id=2024_05_01", "2024_05_01"),
        ("run.id=1e3", "1e3"),
        ("run.id=null", "null"),
        ("corpus.root=/x/photos #2", "/x/photos #2"),
        ("corpus.root=s3://bucket/a=b", "s3://bucket/a=b"),
        ("corpus.captions={a}: [b", "{a}: [b"),
    ],
)
def test_a_text_key_takes_its_text_as_it_stands(override, value):
    settings = conf.load(None, [override])
    section, key = override.partition("=")[0].split(".")
    assert getattr(getattr(settings, section), key) == value
    assert getattr(getattr(settings_of(conf.to_yaml(settings)), section), key) == value


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["model.tie_embeddings=true", "model.lstm_units=16", "model.embedding_dim=32"],
            ["model.tie_embeddings", "32", "16"],
        ),
        (["model.tie_embeddings=true", "model.initial_bias=frequencies"], ["model.initial_bias", "tied"]),
        (["train.monitor=bleu4", "train.validation_bleu=false"], ["train.monitor", "train.validation_bleu"]),
        (["optimizer.name=adamw"], ["optimizer.weight_decay", "adamw"]),
        (["optimizer.momentum=0.9"], ["optimizer.momentum", "adam", "sgd"]),
        (["optimizer.name=sgd", "optimizer.nesterov=true"], ["optimizer.nesterov", "optimizer.momentum"]),
        (
            ["communication.powersgd_rank=2", "communication.local_sgd_steps=4"],
            ["communication.powersgd_rank", "communication.local_sgd_steps"],
        ),
        (
            ["optimizer.ema_decay=0.9", "communication.local_sgd_steps=4"],
            ["optimizer.ema_decay", "communication.local_sgd_steps"],
        ),
    ],
)
def test_keys_that_exclude_each_other_are_refused(overrides, words):
    with pytest.raises(conf.ConfigError) as error:
        conf.load(None, overrides)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(words[0])
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.tie_embeddings=true", "model.lstm_units=32", "model.embedding_dim=32"],
        ["optimizer.name=adamw", "optimizer.weight_decay=0.004"],
        ["optimizer.name=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true"],
        ["communication.powersgd_rank=2", "communication.gradient_accumulation_steps=4"],
    ],
)
def test_the_same_keys_are_accepted_where_they_agree(overrides):
    conf.load(None, overrides)


def test_keys_that_do_not_change_the_weights():
    """All others of these sections are part of a run's identity."""
    sections = ("train", "model", "self_critical", "optimizer", "communication", "recovery")
    keys = [key for key in keys_of(conf.Settings).values() if key.name.split(".")[0] in sections]
    assert [key.name for key in keys if not key.affects_training] == [
        "train.workers",
        "train.cache_bytes",
        "train.progress_seconds",
        "recovery.checkpoint_every",
        "recovery.keep_checkpoints",
        "recovery.max_restarts",
        "recovery.restart_pause",
        "recovery.start_timeout",
        "recovery.stall_timeout",
        "recovery.lease_timeout",
        "recovery.take_over",
        "recovery.allow_plain_grpc",
    ]
    elsewhere = [key.name for key in keys_of(conf.Settings).values() if key.affects_training and key not in keys]
    assert elsewhere == ["corpus.validation_split", "corpus.validation_fraction"]


def settings_of(text: str) -> conf.Settings:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return conf.load(file.name)


def test_a_dump_is_read_again_with_equal_values():
    settings = conf.load(
        "conf/thesis.yaml", ["train.epochs=3", "optimizer.learning_rate=1e-5", "corpus.strict=true", "log.level=error"]
    )
    again = settings_of(conf.to_yaml(settings))
    assert again == settings
    assert (again.train.epochs, again.optimizer.learning_rate, again.corpus.strict) == (3, 1e-5, True)


def test_a_removed_key_says_what_to_do():
    with pytest.raises(
        conf.ConfigError, match=r"corpus\.convert: unknown key; corpus\.strict replaces it with the opposite"
    ):
        conf.load(None, ["corpus.convert=true"])
    with pytest.raises(conf.ConfigError, match=r"train\.gradient_sides: unknown key; it was removed.*leave it out"):
        conf.load(None, ["train.gradient_sides=1"])


def test_a_text_with_a_dollar_sign_survives_yaml(tmp_path):
    settings = conf.load(None, ["corpus.root=/data/${year}/photos"])
    (tmp_path / "config.yaml").write_text(conf.to_yaml(settings))
    assert conf.load(str(tmp_path / "config.yaml")).corpus.root == "/data/${year}/photos"
