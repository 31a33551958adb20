"""The audit log's tree and checkpoints, against published vectors and against each other."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.audit.merkle import (
    EMPTY_ROOT,
    TILE,
    GrowingTree,
    Tree,
    leaf_hash,
    node_hash,
    root_from_path,
)
from app.audit.notes import (
    Head,
    LogKey,
    NoteInvalid,
    read_head,
    read_log_key,
    sign_head,
    verify_note,
)

# Those of Certificate Transparency's own tests (RFC 6962, whose hashing RFC 9162 keeps).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# The example of the C2SP specification of checkpoints.
BEHIND_THE_SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
# The example of Go's package for signed notes.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

sizes = st.integers(min_value=1, max_value=3 * TILE + 5)


def hashes(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


def straight(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162, section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(straight(leaves[:k]), straight(leaves[k:]))


@pytest.mark.parametrize("count", range(1, 9))
def test_roots_are_those_of_certificate_transparency(count: int) -> None:
    leaves = [leaf_hash(leaf) for leaf in LEAVES[:count]]
    growing = GrowingTree()
    for leaf in leaves:
        growing.add(leaf)
    assert Tree(leaves).root.hex() == growing.root.hex() == ROOTS[count - 1]


def test_nothing_has_the_hash_of_nothing() -> None:
    assert Tree([]).root == GrowingTree().root == straight([]) == EMPTY_ROOT


@given(sizes)
def test_the_root_is_the_same_in_tiles_grown_and_by_definition(count: int) -> None:
    leaves = hashes(count)
    tiles = [Tree(leaves[start : start + TILE]).root for start in range(0, count, TILE)]
    growing = GrowingTree(tiles[: count // TILE])
    for leaf in leaves[growing.size :]:
        growing.add(leaf)
    assert growing.size == count
    assert Tree(tiles).root == growing.root == Tree(leaves).root == straight(leaves)


@given(sizes, st.data())
def test_a_path_proves_its_leaf_and_nothing_else(count: int, data: st.DataObject) -> None:
    leaves = hashes(count)
    index = data.draw(st.integers(min_value=0, max_value=count - 1))
    tree = Tree(leaves)
    path = tree.path(index)
    assert root_from_path(leaves[index], index, count, path) == tree.root
    assert root_from_path(leaf_hash(b"another"), index, count, path) != tree.root
    other = data.draw(st.integers(min_value=-1, max_value=count + 1).filter(lambda n: n != index))
    assert root_from_path(leaves[index], other, count, path) != tree.root
    assert root_from_path(leaves[index], index, count, [*path, b"0" * 32]) is None
    if path:
        assert root_from_path(leaves[index], index, count, path[:-1]) is None


def test_a_published_checkpoint_is_read() -> None:
    head = read_head(BEHIND_THE_SOFA)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
    assert head.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"


def test_a_published_verifier_key_is_read_and_written() -> None:
    key = read_log_key(NEUMANN)
    assert (key.name, key.hash.hex(), str(key)) == ("PeterNeumann", "c74f20a3", NEUMANN)


KEY = Ed25519PrivateKey.from_private_bytes(b"7" * 32)
LOG = LogKey("a/log", KEY.public_key())
HEAD = Head("a/log", 5, b"\x05" * 32)


def test_a_checkpoint_is_good_under_its_own_key_alone() -> None:
    note = sign_head(HEAD, KEY)
    assert verify_note(note, LOG) == HEAD
    others = {
        "another log": LogKey("another/log", KEY.public_key()),
        "not signed by": LogKey(
            "a/log", Ed25519PrivateKey.from_private_bytes(b"8" * 32).public_key()
        ),
    }
    for reason, key in others.items():
        with pytest.raises(NoteInvalid, match=reason):
            verify_note(note, key)


@given(st.data())
def test_a_checkpoint_changed_anywhere_is_refused(data: st.DataObject) -> None:
    """The attacker who has the file of checkpoints changes a character of one, or takes it out."""
    note = sign_head(HEAD, KEY)
    place = data.draw(st.integers(min_value=0, max_value=len(note) - 1))
    character = data.draw(st.sampled_from(["", "A", "5", "\n", "=", " ", "é"]))
    changed = note[:place] + character + note[place + 1 :]
    if changed != note:
        with pytest.raises(NoteInvalid):
            verify_note(changed, LOG)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a+b+c", NEUMANN[:-1], NEUMANN.replace("c7", "c8"), f"{NEUMANN}\n"),
        NEUMANN.replace("PeterNeumann", "Peter Neumann"),
        NEUMANN.replace("ARpc", "Apc"),
        NEUMANN.replace("+ARpc", "+AApc"),
    ],
)
def test_no_verifier_key(text: str) -> None:
    with pytest.raises(NoteInvalid):
        read_log_key(text)
