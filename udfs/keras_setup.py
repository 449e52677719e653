"""Keras with the settings that this project needs, whatever the environment and `keras.json` ask for.

Modules import it as `from udfs.keras_setup import keras`. This sets the backend before Keras is imported, which is the only time
that Keras accepts one, and the other settings of `keras.json` after it. A file of the user's home changes no result.
"""

from __future__ import annotations

import os
import sys

from udfs.errors import InputError, one_line

BACKEND = "tensorflow"
if "keras" not in sys.modules:
    os.environ.update(KERAS_BACKEND=BACKEND, KERAS_NNX_ENABLED="false")
try:
    import keras
except ValueError as error:  # a value in keras.json that Keras does not know
    folder = os.environ.get("KERAS_HOME", os.path.join("~", ".keras"))
    raise InputError(f"{folder}/keras.json: {one_line(error)}; correct or delete the file") from error

if keras.backend.backend() != BACKEND:
    raise InputError(
        f"KERAS_BACKEND: this process imported Keras with {keras.backend.backend()}, expected {BACKEND}; "
        f"set KERAS_BACKEND={BACKEND}, or import udfs before keras"
    )
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)

__all__ = ["keras"]
