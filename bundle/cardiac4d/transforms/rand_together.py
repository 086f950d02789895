# SPDX-License-Identifier: Apache-2.0
"""One change, drawn once, for all keys of an entry: so that image and label stay together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform

from .cycle import undo


class RandTogetherd(RandomizableTransform, MapTransform):
    """Apply one array transform to all keys with the same arguments, which ``randomize`` draws into ``drawn``.

    Args:
        keys: entries to change together.
        prob: probability of a change.
        change: the array transform; takes an entry and ``drawn`` as keywords.
        allow_missing_keys: pass over keys that an entry does not have.
    """

    def __init__(
        self, keys: KeysCollection, prob: float, change: Callable[..., Any], *, allow_missing_keys: bool = False
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.change: Any = change
        self.drawn: dict[str, Any] = {}

    def randomize(self, data: Any) -> None:
        """Draw whether to change, and in what derives from this class ``drawn`` for an entry like ``data``."""
        super().randomize(None)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change every key, or none."""
        d = dict(data)
        self.randomize(d[self.first_key(d)])
        for key in self.key_iterator(d):
            if self._do_transform:
                d[key] = self.change(d[key], **self.drawn)
        return d


class InvertibleRandTogetherd(RandTogetherd, InvertibleTransform):
    """The same of an array transform that can be undone."""

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Undo it in the keys that were changed."""
        d = dict(data)
        return undo(d, self.key_iterator(d), self.change)
