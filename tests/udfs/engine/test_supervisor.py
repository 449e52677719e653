"""The environment that a worker process gets: gangs behind a proxy, on IPv6, and with another Keras configured."""

import json

import pytest
from gang import train_to_the_end
from plans import with_changes
from regression_plan import regression_plan

pytestmark = pytest.mark.slow
DEAD_PROXY = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return regression_plan(tmp_path_factory.mktemp("regression"), epochs=2)


def losses(plan, folder, host: str) -> list[float]:
    lines = train_to_the_end(with_changes(plan, run_folder=f"file://{folder}"), 2, host)
    return [line["val_loss"] for line in lines]


@pytest.fixture(scope="module")
def expected(plan, tmp_path_factory) -> list[float]:
    return losses(plan, tmp_path_factory.mktemp("plain"), "127.0.0.1")


@pytest.mark.timeout(60)
def test_a_gang_ignores_the_proxy_of_its_office(plan, expected, tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, DEAD_PROXY)
    monkeypatch.setenv("no_proxy", "intranet.example")
    assert losses(plan, tmp_path, "127.0.0.1") == expected


@pytest.mark.timeout(60)
def test_a_gang_meets_on_ipv6_behind_a_proxy_too(plan, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", DEAD_PROXY)
    assert losses(plan, tmp_path, "[0:0:0:0:0:0:0:1]") == expected  # the form that Spark gives


@pytest.mark.timeout(60)
def test_a_gang_computes_with_tensorflow_whatever_keras_is_configured(plan, expected, tmp_path, monkeypatch):
    keras_json = {"backend": "jax", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.5}
    (tmp_path / "keras.json").write_text(json.dumps(keras_json))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert losses(plan, tmp_path / "run", "127.0.0.1") == expected
