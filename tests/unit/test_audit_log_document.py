"""docs/audit-log.md and its vectors, against the code that they describe."""

import base64
import json
from pathlib import Path

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit.log_key import public_log_key
from app.audit.merkle import Tree, leaf_hash, root_from_path
from app.audit.notes import Head, sign_head, verify_note

DOCS = Path(__file__).parents[2] / "docs"
VECTORS = json.loads((DOCS / "audit-log-vectors.json").read_text(encoding="utf-8"))


def test_the_vectors_are_what_the_code_makes() -> None:
    private_key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["private_key_hex"]))
    key = public_log_key(private_key)
    leaves = [leaf.encode() for leaf in VECTORS["leaves"]]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    tree = Tree(hashes)
    assert [rfc8785.dumps(json.loads(leaf)) for leaf in leaves] == leaves
    assert [base64.b64encode(hashed).decode() for hashed in hashes] == VECTORS["leaf_hashes"]
    assert str(key) == VECTORS["log_key"]
    assert sign_head(Head(key.name, 3, tree.root), private_key) == VECTORS["checkpoint"]
    head = verify_note(VECTORS["checkpoint"], key)
    for index, proof in enumerate(VECTORS["proofs"]):
        path = [base64.b64decode(part) for part in proof]
        assert root_from_path(hashes[index], index, head.size, path) == head.root


def test_the_document_names_each_member_and_shows_the_vectors_checkpoint() -> None:
    text = (DOCS / "audit-log.md").read_text(encoding="utf-8")
    assert VECTORS["checkpoint"] in text
    for member in json.loads(VECTORS["leaves"][0]):
        assert f"| `{member}` |" in text
