"""What a training run shows of itself: a bar on a terminal, a line now and then elsewhere, and one an epoch everywhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm


class TrainingView:
    """Takes the workers' events. `captions`: those of an epoch; `every`: seconds between lines where there is no terminal."""

    def __init__(self, epochs: int, captions: int, every: float):
        self.epochs, self.captions, self.every, self.bar = epochs, captions, every, None
        self.steps: dict[int, int] = {}
        self._said = time.monotonic()

    def __call__(self, event: dict) -> None:
        kind, rank = event["kind"], event["rank"]
        if kind in ("placed", "epoch"):
            self.steps.pop(rank, None)
        if kind == "ready":
            print(f"worker {rank} is ready: {event['devices']}", file=sys.stderr, flush=True)
        if kind == "step":
            self.steps[rank] = event["step"]
        if rank == 0 and kind == "step":
            self._step(event)
        elif rank == 0 and kind == "validation" and self.bar is not None:
            self.bar.set_description(f"epoch {event['epoch']}/{self.epochs}, validation")
        elif kind == "failed":
            self.close()
        elif rank == 0 and kind == "epoch":
            self._epoch(event)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _step(self, event: dict) -> None:
        if self.bar is None:
            self.bar = tqdm(total=event["steps"], unit="step", leave=False, disable=None)
        rate = self.captions * event["step"] / event["steps"] / max(event["seconds"], 1e-9)
        behind = {rank: event["step"] - step for rank, step in sorted(self.steps.items()) if step < event["step"]}
        lag = "".join(f", worker {rank} {steps} behind" for rank, steps in behind.items())
        self.bar.set_description(f"epoch {event['epoch']}/{self.epochs}", refresh=False)
        self.bar.set_postfix_str(f"loss {event['loss']:.3f}, {rate:.0f} captions/s{lag}", refresh=False)
        self.bar.update(event["step"] - self.bar.n)
        if self.bar.disable and self.every and time.monotonic() - self._said >= self.every:
            self._said = time.monotonic()
            print(
                f"step {event['step']}/{event['steps']} of epoch {event['epoch']}/{self.epochs}  loss {event['loss']:.4f}  "
                f"{rate:.0f} captions/s  {event['seconds']:.2f} s{lag}",
                file=sys.stderr,
                flush=True,
            )

    def _epoch(self, event: dict) -> None:
        self.close()
        bleu = f"bleu1 {event['bleu1']:.3f}  bleu4 {event['bleu4']:.3f}  " if "bleu4" in event else ""
        print(
            f"epoch {event['epoch']}/{self.epochs}  loss {event['loss']:.4f}  accuracy {event['accuracy']:.3f}  "
            f"val_loss {event['val_loss']:.4f}  val_accuracy {event['val_accuracy']:.3f}  {bleu}"
            f"{event['captions_per_second']:.0f} captions/s  {event['seconds']:.1f} s",
            file=sys.stderr,
            flush=True,
        )
