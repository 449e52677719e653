"""The vocabulary of a trained captioner: its tokens, and how token ids become the text of a caption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from udfs.captioner.subwords import SPACE
from udfs.captioner.words import join_words


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that captions consist of.

    Attributes:
        tokens: The tokens in order of token_id.
        max_length: The largest number of tokens in a caption.
        tokenizer: What the tokens are: `words` or `subwords`.
    """

    tokens: tuple[str, ...]
    max_length: int
    tokenizer: str = "words"

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Vocabulary:
        """Returns the vocabulary in a run's vocabulary.json. Runs of earlier versions have words."""
        return Vocabulary(tuple(content["tokens"]), content["max_length"], content.get("tokenizer", "words"))

    def text(self, token_ids: Iterable[int]) -> str:
        """Returns the text of a caption.

        Args:
            token_ids: The ids of its words or subwords, without the start and end tokens.
        """
        tokens = [self.tokens[token] for token in token_ids]
        return joined_subwords(tokens) if self.tokenizer == "subwords" else join_words(tokens)


def joined_subwords(tokens: Iterable[str]) -> str:
    """Returns the text that subwords stand for."""
    return "".join(tokens).replace(SPACE, " ").strip()
