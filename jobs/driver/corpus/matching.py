"""Which photo a name in a caption file or a split list means, and the nearest photo of a name that means none."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from jobs.driver.corpus.forms.caption import PICTURE

MATCHES = ("exact", "base_name", "ignore_case", "normalised")


def base_name(name: str) -> str:
    """A name without its folders."""
    return re.split(r"[/\\]", name)[-1]


def without_case(name: str) -> str:
    return name.casefold()


def normal_form(name: str) -> str:
    """A name in one Unicode form (NFC) and case, with slashes between folders and without spaces around it."""
    return unicodedata.normalize("NFC", re.sub(r"^(\./)+", "", name.strip().replace("\\", "/"))).casefold()


def stem(name: str) -> str:
    """The normal form without folders and the suffix of a picture."""
    return re.sub(rf"{PICTURE}$", "", normal_form(base_name(name)))


Key = Callable[[str], str]


@dataclass(frozen=True)
class PhotoNames:
    """The photos of a corpus, and how names are matched with them.

    A name that a photo has exactly means this photo. Otherwise it means the only photo with an equal key, where `match` decides
    what is compared: nothing else (exact), the name without folders (base_name), the name without regard to case
    (ignore_case), or the name without folders, case, Unicode form and suffix (normalised). If the photos lie in several
    folders, a name without a folder always matches the only photo of that name.

    Attributes:
        names: image_id of the photos.
        match: One of MATCHES.
    """

    names: tuple[str, ...]
    match: str = "exact"

    @cached_property
    def known(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def in_folders(self) -> bool:
        return any("/" in name for name in self.names)

    @property
    def keys(self) -> list[Key]:
        """The keys that are compared, the most exact first."""
        keys: dict[str, list[Key]] = {
            "exact": [],
            "base_name": [base_name],
            "ignore_case": [without_case],
            "normalised": [normal_form, lambda name: normal_form(base_name(name)), stem],
        }
        return keys[self.match]

    @cached_property
    def is_exact(self) -> bool:
        """Whether only names that are equal match."""
        return not self.keys and not self.in_folders

    def photo(self, name: str) -> tuple[str | None, bool]:
        """The photo that a name means, or None; and whether several photos fit equally well."""
        if name in self.known:
            return name, False
        if "/" not in name and self.in_folders and (photos := self._by_base_name.get(name)):
            return (photos[0], False) if len(photos) == 1 else (None, True)
        for key, index in zip(self.keys, self._indexes, strict=True):
            if photos := index.get(key(name)):
                return (photos[0], False) if len(photos) == 1 else (None, True)
        return None, False

    @cached_property
    def _by_base_name(self) -> dict[str, list[str]]:
        return self._index(base_name)

    @cached_property
    def _indexes(self) -> list[dict[str, list[str]]]:
        return [self._index(key) for key in self.keys]

    def _index(self, key: Key) -> dict[str, list[str]]:
        index = defaultdict(list)
        for name in self.names:
            index[key(name)].append(name)
        return dict(index)


def hint(unknown: Iterable[str], photos: PhotoNames) -> str:
    """What names that mean no photo have in common with the photos: an example, and the setting that makes them match.

    Example:
        >>> hint(["Images/x.jpg"], PhotoNames(("x.jpg",)))
        "'Images/x.jpg' is in another folder than the photo 'x.jpg'; corpus.match=base_name matches all of these names"
    """
    names = list(dict.fromkeys(unknown))
    for match in MATCHES[1:]:
        looser = PhotoNames(photos.names, match)
        matched = {name: photo for name in names if (photo := looser.photo(name)[0]) is not None}
        if matched and (len(matched) == len(names) or match == MATCHES[-1]):
            (name, photo), *_ = matched.items()
            fewer = f"{len(matched)} of {len(names)}" if len(matched) < len(names) else "all"
            return f"{name!r} {difference(name, photo)} the photo {photo!r}; corpus.match={match} matches {fewer} of these names"
    near = [
        (name, close[0])
        for name in names[:20]
        if (close := difflib.get_close_matches(name, photos.names[:20_000], 1, 0.8))
    ]
    if near:
        return f"the nearest photo to {near[0][0]!r} is {near[0][1]!r}"
    suffixes = Counter(base_name(name).rpartition(".")[2] for name in names)
    return f"no photo has a name like {names[0]!r}" + (
        f"; {suffixes.most_common(1)[0][0]!r} is their suffix" if names else ""
    )


def difference(name: str, photo: str) -> str:
    """How a name differs from a photo's, in words."""
    if base_name(name) == base_name(photo):
        return "is in another folder than"
    if base_name(name).casefold() == base_name(photo).casefold():
        return "is in another case than"
    if normal_form(base_name(name)) == normal_form(base_name(photo)):
        return "is in another Unicode form than"
    return "has another suffix than"
