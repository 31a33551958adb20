"""Merkle trees (RFC 9162, section 2.1) over the hashes of leaves, in tiles of 256."""

import hashlib
from collections.abc import Iterable, Sequence

TILE = 256
"""A full tile is a subtree of its own, so its one hash stands for its leaves."""
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The 32 bytes that stand for a leaf in the tree."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32 bytes of a node above two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The tree over `hashes`, which are those of leaves, or of subtrees that are equally large.

    The last of them may be a smaller subtree: RFC 9162 splits at the largest power of two, so the
    tree over the hashes of tiles has the root of the tree over their leaves.
    """

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self._levels = [[*hashes]]
        while len(self._levels[-1]) > 1:
            self._levels.append(_level_above(self._levels[-1]))

    @property
    def root(self) -> bytes:
        [*_, top] = self._levels
        return top[0] if top else EMPTY_ROOT

    def path(self, index: int) -> list[bytes]:
        """What proves that the hash at `index` is in the tree (RFC 9162, section 2.1.3.1)."""
        path = []
        for level in self._levels[:-1]:
            beside = index ^ 1
            if beside < len(level):
                path.append(level[beside])
            index //= 2
        return path


def _level_above(level: list[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [node_hash(left, right) for left, right in pairs]
    return above + level[-1:] if len(level) % 2 else above


class GrowingTree:
    """The root of a tree to which leaves are added one after the other, in little memory."""

    def __init__(self, tiles: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._subtrees: list[tuple[int, bytes]] = []
        for tile in tiles:
            self._add(TILE, tile)

    def add(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        self._add(1, leaf)

    def _add(self, size: int, subtree: bytes) -> None:
        self.size += size
        while self._subtrees and self._subtrees[-1][0] == size:
            subtree = node_hash(self._subtrees.pop()[1], subtree)
            size *= 2
        self._subtrees.append((size, subtree))

    @property
    def root(self) -> bytes:
        if not self._subtrees:
            return EMPTY_ROOT
        *others, (_, root) = self._subtrees
        for _, left in reversed(others):
            root = node_hash(left, root)
        return root


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root of the tree of `size` leaves in which `path` proves `leaf`; None if it proves none.

    RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        return None
    here, last, root = index, size - 1, leaf
    for beside in path:
        if last == 0:
            return None
        if here % 2 or here == last:
            root = node_hash(beside, root)
            while here % 2 == 0 and here:
                here, last = here // 2, last // 2
        else:
            root = node_hash(root, beside)
        here, last = here // 2, last // 2
    return root if last == 0 else None
