"""Brings examples of similar length into the same batch, so that less of a batch is padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udfs.engine.arrays import Array


@dataclass(frozen=True)
class LengthBuckets:
    """Groups examples by length within windows of `size` batches, in the same way for any number of workers."""

    seed: int
    epoch: int
    batch_size: int
    shards: int
    size: int

    def arrange(self, lengths: Array, shard: int, position: int) -> Array:
        """A new order of the examples at position, position + 1, ... of a shard.

        In each window the examples are sorted by length, with ties in the order that they had, and assigned to its batches.
        Which batch gets the short ones is drawn for the window, so that it is the same in every shard.

        Returns:
            Indices into `lengths`, int64 (examples,).
        """
        places = np.arange(position, position + len(lengths))
        batches = ((places + 1) * self.shards - shard - 1) // self.batch_size  # the inverse of the reader's formula
        order = np.arange(len(lengths))
        for window in np.unique(batches // self.size):
            inside = np.flatnonzero(batches // self.size == window)
            ranks = np.random.default_rng((self.seed, self.epoch, int(window), 0, 1)).permutation(self.size)
            assigned = inside[np.argsort(ranks[batches[inside] % self.size], kind="stable")]
            order[assigned] = inside[np.argsort(lengths[inside], kind="stable")]
        return order
