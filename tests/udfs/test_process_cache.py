import gc
import subprocess
import sys
import weakref

import pytest

from udfs.process_cache import load_once

LOADED = []


@pytest.fixture(autouse=True)
def clean():
    LOADED.clear()
    yield
    gc.unfreeze()


class Network:
    """Refers to itself, as TensorFlow's functions do, so only the garbage collector can free it."""

    def __init__(self, name: str):
        self.name, self.itself = name, self


def load_network(name: str) -> Network:
    if name == "broken":
        raise OSError(name)
    LOADED.append(name)
    return Network(name)


def load_captioner(name: str) -> Network:
    LOADED.append(f"captioner {name}")
    return Network(name)


def test_the_same_arguments_return_the_kept_value():
    first = load_once(load_network, "kept")
    assert load_once(load_network, "kept") is first
    assert LOADED == ["kept"]


def test_other_arguments_replace_the_value():
    load_once(load_network, "a")
    assert load_once(load_network, "b").name == "b"
    assert load_once(load_network, "a").name == "a"
    assert LOADED == ["a", "b", "a"]


def test_kinds_are_kept_side_by_side():
    network, captioner = load_once(load_network, "c"), load_once(load_captioner, "c")
    assert load_once(load_network, "c") is network
    assert load_once(load_captioner, "c") is captioner
    assert LOADED == ["c", "captioner c"]


def test_nothing_is_kept_after_an_error():
    load_once(load_network, "d")
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            load_once(load_network, "broken")
    assert load_once(load_network, "d").name == "d"
    assert LOADED == ["d", "d"]


def test_a_replaced_network_of_a_task_is_freed_although_garbage_collection_was_frozen():
    first = weakref.ref(load_once(load_network, "e", task_cores=1))
    gc.collect()
    assert first() is not None
    assert gc.get_freeze_count() > 0
    load_once(load_network, "f", task_cores=1)
    assert first() is None


def test_a_process_without_tasks_keeps_its_garbage_collection():
    before = gc.get_freeze_count()
    load_once(load_network, "g")
    assert gc.get_freeze_count() == before


def test_tensorflow_is_limited_before_the_network_is_loaded():
    """In a process of its own, since TensorFlow accepts its settings only before its first operation."""
    program = (
        "from udfs.process_cache import load_once\n"
        "def threads():\n"
        "    import tensorflow as tf\n"
        "    return tf.config.threading.get_intra_op_parallelism_threads()\n"
        "print(load_once(threads, task_cores=3))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
