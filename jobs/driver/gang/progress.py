"""Shows the progress of training: a bar on a terminal, otherwise a line now and then; and a line per epoch."""

from __future__ import annotations

import logging
import time
from typing import Any

from tqdm import tqdm

from udfs.engine.events import Epoch, Event, Failed, Placed, Ready, Step, Validation

LOG = logging.getLogger("train")


class TrainingProgress:
    """Receives the workers' events.

    Args:
        epochs: The number of epochs.
        examples: Training examples per epoch.
        unit: What an example is called, in the plural.
        line_seconds: Seconds between lines if there is no terminal; 0 prints none.
    """

    def __init__(self, epochs: int, examples: int, unit: str, line_seconds: float):
        self._epochs, self._examples, self._unit, self._line_seconds = epochs, examples, unit, line_seconds
        self._steps: dict[int, int] = {}
        self._printed = time.monotonic()
        self._bar: Any = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Placed | Epoch):
            self._steps.pop(event.rank, None)
        if isinstance(event, Ready):
            LOG.info("worker %d is ready: %s", event.rank, event.devices)
        elif isinstance(event, Failed):
            self.close()
        elif isinstance(event, Step):
            self._steps[event.rank] = event.step
            if event.rank == 0:
                self._show_step(event)
        elif isinstance(event, Validation) and event.rank == 0 and self._bar is not None:
            self._bar.set_description(f"epoch {event.epoch}/{self._epochs}, validation")
        elif isinstance(event, Epoch) and event.rank == 0:
            self._show_epoch(event)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show_step(self, event: Step) -> None:
        if self._bar is None:
            self._bar = tqdm(total=event.steps, unit="step", leave=False, disable=None)
        rate = self._examples * event.step / event.steps / max(event.seconds, 1e-9)
        behind = {rank: event.step - step for rank, step in sorted(self._steps.items()) if step < event.step}
        lag = "".join(f", worker {rank} {steps} behind" for rank, steps in behind.items())
        self._bar.set_description(f"epoch {event.epoch}/{self._epochs}", refresh=False)
        self._bar.set_postfix_str(f"loss {event.loss:.3f}, {rate:.0f} {self._unit}/s{lag}", refresh=False)
        self._bar.update(event.step - self._bar.n)
        if self._bar.disable and self._line_seconds and time.monotonic() - self._printed >= self._line_seconds:
            self._printed = time.monotonic()
            LOG.info(
                f"step {event.step}/{event.steps} of epoch {event.epoch}/{self._epochs}  loss {event.loss:.4f}  "
                f"{rate:.0f} {self._unit}/s  {event.seconds:.2f} s{lag}"
            )

    def _show_epoch(self, event: Epoch) -> None:
        self.close()
        values = event.metrics.values
        shown = [f"{name} {values[name]:.4f}" for name in ("loss", "val_loss")]
        shown += [
            f"{name} {values[name]:.3f}" for name in ("accuracy", "val_accuracy", "bleu1", "bleu4") if name in values
        ]
        rate = values[f"{self._unit}_per_second"]
        LOG.info(
            f"epoch {event.metrics.epoch}/{self._epochs}  {'  '.join(shown)}  {rate:.0f} {self._unit}/s  "
            f"{values['seconds']:.1f} s"
        )
