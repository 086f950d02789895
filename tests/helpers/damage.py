# SPDX-License-Identifier: Apache-2.0
"""Ways in which files go wrong on their way to us: cut short, flipped bits, absurd numbers, foreign bytes."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable

from hypothesis import strategies as st

Damage = Callable[[bytes], bytes]

HEADER_BYTES = 512
"""Most damage is done here, where it means most."""
EXTREMES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 8, b"\x00" * 8)
NUMBERS = (b"0", b"-1", b"99999999", b"-99999999999", b"1e308", b"nan", b"inf", b"0.0000001", b"", b"a")
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def _cut(share: float) -> Damage:
    return lambda content: content[: int(len(content) * share)]


def _flip(places: list[tuple[float, int]], header_only: bool) -> Damage:
    def flip(content: bytes) -> bytes:
        changed = bytearray(content)
        size = min(len(changed), HEADER_BYTES) if header_only else len(changed)
        for place, bit in places:
            if size:
                changed[int(place * (size - 1))] ^= 1 << bit
        return bytes(changed)

    return flip


def _overwrite(place: float, value: bytes) -> Damage:
    def overwrite(content: bytes) -> bytes:
        at = int(place * min(len(content), HEADER_BYTES))
        return content[:at] + value + content[at + len(value) :]

    return overwrite


def _insert(place: float, value: bytes) -> Damage:
    def insert(content: bytes) -> bytes:
        at = int(place * min(len(content), HEADER_BYTES))
        return content[:at] + value + content[at:]

    return insert


def _renumber(which: int, value: bytes) -> Damage:
    """Replace one number in a header that is text."""

    def renumber(content: bytes) -> bytes:
        head, body = content[:HEADER_BYTES], content[HEADER_BYTES:]
        found = list(_NUMBER.finditer(head))
        if not found:
            return content
        match = found[which % len(found)]
        return head[: match.start()] + value + head[match.end() :] + body

    return renumber


def _inside_gzip(damage: Damage) -> Damage:
    """Do it to what a gzip file holds, so that the damage gets past the checksum."""

    def inside(content: bytes) -> bytes:
        if content[:2] != b"\x1f\x8b":
            return damage(content)
        return gzip.compress(damage(gzip.decompress(content)), 1)

    return inside


_share = st.floats(0, 1)
_flips = st.builds(_flip, st.lists(st.tuples(_share, st.integers(0, 7)), min_size=1, max_size=12), st.booleans())
_plain = st.one_of(
    st.builds(_cut, _share),
    _flips,
    st.builds(_overwrite, _share, st.sampled_from(EXTREMES)),
    st.builds(_insert, _share, st.binary(min_size=1, max_size=16)),
    st.builds(_renumber, st.integers(0, 60), st.sampled_from(NUMBERS)),
)
damages = st.one_of(_plain, st.builds(_inside_gzip, _plain))
"""Hypothesis draws from these."""
