"""Reads the `examples` table for training: global batches that do not depend on the number of workers.

The table's shards are lanes. Batch k of a split takes the captions floor((k B + l) / L) .. floor(((k + 1) B + l) / L) of
lane l, with B captions a batch and L lanes: B in all, by Hermite's identity. A worker reads lanes r, r + N, ... of N
workers. The order inside a lane depends on (seed, epoch, lane) alone. Whoever starts at batch k skips whole files unread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from udfs.errors import InputError


@dataclass(frozen=True)
class ExampleFile:
    """One file of a lane: its URI, the photos (rows) and the captions in it."""

    uri: str
    rows: int
    captions: int


@dataclass(frozen=True)
class Split:
    """A split of the examples table: the files of each lane, and the length of a padded caption (max_length + 1)."""

    lanes: tuple[tuple[ExampleFile, ...], ...]
    width: int

    def captions(self, lane: int) -> int:
        return sum(file.captions for file in self.lanes[lane])

    def steps(self, batch_size: int) -> int:
        """Batches an epoch, the same for every worker."""
        count = len(self.lanes)
        # The last batch k + 1 is the first whose quota, floor(((k + 1) B + l) / L), covers the lane's captions.
        needed = [
            -(-(self.captions(lane) * count - lane) // batch_size) for lane in range(count) if self.captions(lane)
        ]
        return max(needed, default=0)


@dataclass(frozen=True)
class Batch:
    """One worker's part of a global batch: tokens int32 (captions, steps + 1), photo float32 (captions, feature size).

    A worker whose lanes have nothing for the batch gets one caption of padding, which weighs nothing.
    """

    tokens: np.ndarray
    photo: np.ndarray

    @property
    def captions(self) -> int:
        """The captions in it, padding not counted."""
        return int((self.tokens[:, 0] != 0).sum())


def worker_batches(
    split: Split,
    batch_size: int,
    feature_size: int,
    rank: int,
    workers: int,
    epoch: int,
    seed: int | None,
    start: int = 0,
    length_window: int = 0,
) -> Iterator[Batch]:
    """Rank's part of the batches start, start + 1, ... of an epoch; every rank sees as many.

    `seed` None keeps the order of the files, for validation. In every so many batches as `length_window` says, captions
    of similar length come together.
    """
    count = len(split.lanes)
    lanes = range(rank, count, workers)
    windows = None if seed is None or not length_window else Windows(seed, epoch, batch_size, count, length_window)
    readers = {
        lane: _Lane(split, lane, epoch, seed, skip=(start * batch_size + lane) // count, windows=windows)
        for lane in lanes
    }
    for step in range(start, split.steps(batch_size)):
        parts = []
        for lane in lanes:
            low, high = (step * batch_size + lane) // count, ((step + 1) * batch_size + lane) // count
            parts.append(readers[lane].take(min(high, split.captions(lane)) - low))
        yield _joined([part for part in parts if part is not None], split.width, feature_size)


@dataclass(frozen=True)
class Windows:
    """The order that brings captions of similar length into one batch, across all lanes, in windows of `size` batches."""

    seed: int
    epoch: int
    batch_size: int
    lanes: int
    size: int

    def arrange(self, lengths: np.ndarray, lane: int, position: int) -> np.ndarray:
        """A new order of the captions that stand at position, position + 1, ... of a lane.

        In each window the captions are sorted by length, ties in the order they had, and dealt to its batches; which batch
        gets the short ones is drawn for the window, so that it is the same in every lane. Returns: indices like lengths.
        """
        places = np.arange(position, position + len(lengths))
        batches = ((places + 1) * self.lanes - lane - 1) // self.batch_size  # the inverse of the module's formula
        order = np.arange(len(lengths))
        for window in np.unique(batches // self.size):
            inside = np.flatnonzero(batches // self.size == window)
            ranks = np.random.default_rng((self.seed, self.epoch, int(window), 0, 1)).permutation(self.size)
            dealt = inside[np.argsort(ranks[batches[inside] % self.size], kind="stable")]
            order[dealt] = inside[np.argsort(lengths[inside], kind="stable")]
        return order


class _Lane:
    """The captions of one lane in an epoch's order, one file in memory at a time."""

    def __init__(self, split: Split, lane: int, epoch: int, seed: int | None, skip: int, windows: Windows | None):
        files = list(split.lanes[lane])
        self.width, self.key = split.width, None if seed is None else (seed, epoch, lane)
        self.lane, self.windows, self.position = lane, windows, 0
        if self.key:
            files = [files[i] for i in np.random.default_rng(self.key).permutation(len(files))]
        self.number = 0
        while files and files[0].captions <= skip:
            self.position += files[0].captions
            skip -= files.pop(0).captions
            self.number += 1
        self.files, self.skip = iter(files), skip
        self.order = np.zeros((0, 2), "int64")

    def take(self, captions: int):
        """The next captions as (tokens, photo), fewer at a file's end joined with the next file's; None where none."""
        parts = []
        while captions > 0:
            if not len(self.order):
                self._open(next(self.files))
            rows, self.order = self.order[:captions], self.order[captions:]
            captions -= len(rows)
            parts.append((self.tokens[rows[:, 0], rows[:, 1]], self.photo[rows[:, 0]]))
        if not parts:
            return None
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    def _open(self, file: ExampleFile) -> None:
        self.photo, self.tokens, counts = read_file(file, self.width)
        row, caption = np.nonzero(np.arange(self.tokens.shape[1])[None, :] < counts[:, None])
        order = np.stack([row, caption], axis=1)
        if self.key:
            order = order[np.random.default_rng((*self.key, self.number + 1)).permutation(len(order))]
        if self.windows:
            lengths = (self.tokens[order[:, 0], order[:, 1]] != 0).sum(axis=1)
            order = order[self.windows.arrange(lengths, self.lane, self.position)]
        self.position += len(order)
        self.order, self.skip, self.number = order[self.skip :], 0, self.number + 1


def read_file(file: ExampleFile, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All rows of a file, through petastorm: photo (rows, size), tokens (rows, captions, width), captions a row.

    Raises InputError where the file does not hold the rows that its table version says.
    """
    from petastorm import make_batch_reader

    columns = ["feature", "token_ids", "caption_count"]
    with make_batch_reader(
        [file.uri], schema_fields=columns, shuffle_row_groups=False, reader_pool_type="dummy", num_epochs=1
    ) as reader:
        groups = list(reader)
    photo = np.concatenate([np.stack(group.feature) for group in groups]).astype("float32", copy=False)
    counts = np.concatenate([group.caption_count for group in groups]).astype("int64")
    if len(photo) != file.rows or counts.sum() != file.captions:
        raise InputError(
            f"{file.uri}: found {len(photo)} rows with {counts.sum()} captions, expected {file.rows} with {file.captions}; "
            "the file was changed by hand: write the table examples anew"
        )
    tokens = np.concatenate([np.stack(group.token_ids) for group in groups]).astype("int32", copy=False)
    return photo, tokens.reshape(len(photo), -1, width), counts


def _joined(parts: list, width: int, feature_size: int) -> Batch:
    """One batch of several lanes' captions, without the columns in which all are padding."""
    if not parts:
        return Batch(np.zeros((1, 2), "int32"), np.zeros((1, feature_size), "float32"))
    tokens, photo = (np.concatenate(column) for column in zip(*parts, strict=True))
    longest = max(2, int((tokens != 0).sum(axis=1).max()))
    return Batch(tokens[:, :longest], photo)
