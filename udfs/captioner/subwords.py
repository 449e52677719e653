"""Subwords: frequent parts of words and of sentences, for languages that are written without spaces.

A unigram language model (Kudo, 2018, "Subword regularization") is trained on the training captions by SentencePiece. It splits
any text into subwords; "▁" in a subword stands for a space, so that the subwords of a caption, joined, are its text.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from udfs.captioner.words import plain_text
from udfs.errors import InputError
from udfs.process_cache import load_once

SPACE = "▁"
LONGEST_CAPTION = 1 << 20  # bytes; SentencePiece leaves out longer ones


def train_subwords(texts: Iterator[str], most: int) -> bytes:
    """Trains the model that splits captions into subwords. The same captions in the same order give the same model.

    Args:
        texts: The training captions.
        most: The largest number of subwords.

    Returns:
        The content of a SentencePiece model file.

    Raises:
        InputError: The captions have more different characters than `most`, or no characters at all.
    """
    import sentencepiece

    sentences = [sentence for sentence in map(plain_text, texts) if sentence]
    characters = {character for sentence in sentences for character in sentence}
    if not characters:
        raise InputError("text.tokenizer=subwords: the training captions have no letters; check corpus.captions")
    needed = len(characters) + 2  # "▁" and the unknown subword
    if most < needed:
        raise InputError(
            f"text.max_subwords: found {most}, but the training captions have {len(characters)} different characters, and each "
            f"is a subword; set it to {needed} or more, {4 * needed} for example"
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="unigram",
        vocab_size=most,
        hard_vocab_limit=False,  # small corpora have fewer subwords
        character_coverage=1.0,
        normalization_rule_name="identity",  # plain_text has normalised already
        max_sentence_length=LONGEST_CAPTION,
        num_threads=1,  # the order of sums is the same each time
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


class Subwords:
    """A trained model that splits text into subwords.

    Args:
        model: What `train_subwords` returned.
    """

    def __init__(self, model: bytes):
        import sentencepiece

        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        size = self._processor.get_piece_size()
        self._pieces = pa.array([self._processor.id_to_piece(number) for number in range(size)], pa.string())

    def split(self, texts: Sequence[str]) -> pa.ListArray:
        """Returns the subwords of each caption, list<string>. An unknown character is the subword `<unk>`."""
        ids = self._processor.encode([plain_text(text) for text in texts], num_threads=1)
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype("int32")
        flat = np.fromiter((number for row in ids for number in row), "int32", offsets[-1])
        return pa.ListArray.from_arrays(offsets, self._pieces.take(pa.array(flat)))


def split_captions(model, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Replaces the words of captions by subwords, in a Spark task.

    Args:
        model: A Spark broadcast of what `train_subwords` returned.
        batches: Rows with `text` and `words`.

    Yields:
        The same rows, with the subwords as `words`.
    """
    for batch in batches:
        subwords = load_once(Subwords, model.value)
        place = batch.schema.get_field_index("words")
        columns = list(batch.columns)
        columns[place] = subwords.split(batch.column("text").to_pylist())
        yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
