"""The audit log proves itself: what was done to it is found, and nothing is signed over it."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.audit import checkpoints, tree
from app.audit.checkpoints import last_head, publish_checkpoints, read_notes, verified_heads
from app.audit.cutting import cut_oldest_tile
from app.audit.exporting import Proofs, csv_lines, jsonl_lines, prove_event, proven_events
from app.audit.finding import AuditSearch, conditions
from app.audit.leaves import EVENTS, leaf_of
from app.audit.log import log_event
from app.audit.log_key import ensure_log_key, public_log_key, read_private_log_key
from app.audit.merkle import leaf_hash, root_from_path
from app.audit.notes import Head, NoteInvalid, sign_head, verify_note
from app.audit.tags import AuditTag
from app.audit.tree import count_pending, newest_checkpoint, note_events, sign_tree
from app.audit.verifying import RecordBroken, Verified, verify_record
from app.core.actor import SYSTEM, Actor
from app.core.errors import Conflict, NotFound
from app.core.spreadsheets import spreadsheet_safe
from app.models import AuditCheckpoint, AuditEvent, AuditLeaf, AuditTile
from tests.conftest import NOW

pytestmark = pytest.mark.databases("sqlite", "postgres")

ADA = Actor(None, "ada@example.com", None, "203.0.113.7")


class Record:
    """The audit log, its key and its file of checkpoints; `now` is the time of day."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session = session
        self.now = NOW
        self.file = folder / "checkpoints"
        session.execute(delete(AuditEvent))
        ensure_log_key(session, instance=folder)
        session.commit()
        self.private_key = read_private_log_key(folder)
        self.key = public_log_key(self.private_key)

    def happen(self, count: int = 1, **moment: float) -> None:
        at = self.now + timedelta(**moment)
        for number in range(count):
            subject = f"K7QF-3MX{number % 10}"
            log_event(self.session, AuditTag.LICENSE_VIEWED, actor=ADA, now=at, subject=subject)
        self.session.commit()

    def note(self) -> int:
        return note_events(self.session, writing=self.writing, now=self.now)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        yield self.session
        self.session.commit()

    def sign(self, private_key: Ed25519PrivateKey | None = None) -> str | None:
        note = sign_tree(self.session, private_key=private_key or self.private_key, now=self.now)
        self.session.commit()
        return note

    def prove(self) -> None:
        """A round of the background process, ten seconds later."""
        self.now += timedelta(seconds=10)
        self.note()
        self.sign()
        publish_checkpoints(self.session, self.file, self.key)

    def verify(self) -> Verified:
        self.session.expire_all()
        heads = [*verified_heads(self.file, self.key)]
        return verify_record(self.session, heads=heads, now=self.now)

    def event_id(self, place: int) -> int:
        ids = select(AuditLeaf.event_id).where(AuditLeaf.place == place)
        return self.session.scalars(ids).one()


@pytest.fixture
def record(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setattr(tree, "BATCH", 100)
    return Record(session, tmp_path)


def test_what_was_committed_is_in_the_tree_signed_and_in_the_file(record: Record) -> None:
    record.happen(3)
    record.prove()
    record.happen(2)
    assert count_pending(record.session, record.now) == 2
    record.prove()
    assert [head.size for head in verified_heads(record.file, record.key)] == [3, 5]
    assert record.verify() == Verified(events=5, size=5)
    assert count_pending(record.session, record.now) == 0


def test_nothing_new_is_not_signed_again(record: Record) -> None:
    record.happen()
    record.prove()
    record.prove()
    assert len([*read_notes(record.file)]) == 1
    assert record.sign() is None


def test_many_events_fill_tiles_and_every_size_between_is_proven(record: Record) -> None:
    for count in (255, 1, 1, 300, 255):
        record.happen(count)
        record.prove()
    assert record.session.scalar(select(func.count()).select_from(AuditTile)) == 812 // 256
    assert record.verify() == Verified(812, 812)


def change(record: Record, place: int) -> None:
    record.session.execute(
        update(AuditEvent)
        .where(AuditEvent.id == record.event_id(place))
        .values(subject="somebody else")
    )


def change_with_its_leaf(record: Record, place: int) -> None:
    change(record, place)
    row = record.session.execute(EVENTS.where(AuditEvent.id == record.event_id(place))).one()
    record.session.execute(
        update(AuditLeaf).where(AuditLeaf.place == place).values(hash=leaf_hash(leaf_of(row).data))
    )


def take_out(record: Record, place: int) -> None:
    record.session.execute(delete(AuditEvent).where(AuditEvent.id == record.event_id(place)))


def take_out_with_its_leaf(record: Record, place: int) -> None:
    take_out(record, place)
    record.session.execute(delete(AuditLeaf).where(AuditLeaf.place == place))


def swap(record: Record, place: int) -> None:
    """Two events change places."""
    one, other = record.event_id(place), record.event_id(place + 1)
    record.session.execute(update(AuditLeaf).where(AuditLeaf.place == place).values(event_id=-1))
    for where, event_id in ((place + 1, one), (place, other)):
        record.session.execute(
            update(AuditLeaf).where(AuditLeaf.place == where).values(event_id=event_id)
        )


def put_in(record: Record, place: int) -> None:
    record.happen(minutes=-5)


def cut_off(record: Record, place: int) -> None:
    """Whoever cuts off the end leaves no trace in the database: its checkpoint goes too."""
    ids = select(AuditLeaf.event_id).where(AuditLeaf.place >= place)
    record.session.execute(delete(AuditEvent).where(AuditEvent.id.in_(ids)))
    record.session.execute(delete(AuditLeaf).where(AuditLeaf.place >= place))
    record.session.execute(delete(AuditCheckpoint).where(AuditCheckpoint.size > place))


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (change, r"Event \d+ \(index 4\) was changed"),
        (change_with_its_leaf, r"index 0 to 5 one was changed, taken out or put in"),
        (take_out, r"Event \d+ \(index 4\) is missing"),
        (take_out_with_its_leaf, r"index 4 is missing from the tree"),
        (swap, r"Event \d+ \(index 4\) was changed"),
        (put_in, r"Event \d+ was put in between"),
        (cut_off, r"cut off: a checkpoint was signed over 6 events, and the tree has 4; .*index 4"),
    ],
)
def test_whoever_has_the_database_changes_the_log_and_is_found_out(
    record: Record, harm: Callable[[Record, int], None], sentence: str
) -> None:
    """The attacker can write whatever they like into the database, but not sign."""
    record.happen(6)
    record.prove()
    record.happen(3)
    record.prove()
    assert record.verify() == Verified(9, 9)
    harm(record, 4)
    record.session.commit()
    with pytest.raises(RecordBroken, match=sentence):
        record.verify()


def test_each_column_of_an_event_is_in_its_leaf(record: Record) -> None:
    record.happen()
    record.prove()
    texts = ("tag", "actor", "role", "address", "request_id", "organisation_id", "key_id")
    changed: dict[str, object] = dict.fromkeys((*texts, "subject"), "x")
    changed |= {"happened_at": NOW + timedelta(microseconds=1), "data": {"a": 1}}
    assert changed.keys() | {"id", "actor_id"} == {
        column.name for column in AuditEvent.__table__.columns
    }
    for name, value in changed.items():
        record.session.execute(update(AuditEvent).values({name: value}))
        with pytest.raises(RecordBroken, match="was changed"):
            record.verify()
        record.session.rollback()
    assert record.verify() == Verified(1, 1)


def test_an_event_put_in_is_never_added_by_itself(record: Record) -> None:
    """One second decides: a transaction may have taken long, but not more than a minute."""
    record.happen()
    record.prove()
    record.happen(seconds=-61)
    record.happen(seconds=-60)
    record.prove()
    record.prove()
    assert newest_checkpoint(record.session).size == 2  # type: ignore[union-attr]
    with pytest.raises(RecordBroken, match="put in between"):
        record.verify()


def test_a_clock_set_back_by_an_hour_is_no_forgery(record: Record) -> None:
    record.happen(2)
    record.prove()
    record.now -= timedelta(hours=1)
    record.happen(2)
    record.prove()
    assert record.verify() == Verified(4, 4)
    record.now += timedelta(hours=2)
    record.happen(1)
    record.prove()
    assert record.verify() == Verified(5, 5)


def test_nothing_is_signed_over_a_tree_that_was_changed(record: Record) -> None:
    """Else the next checkpoint would make what the attacker did part of the record."""
    record.happen(5)
    record.prove()
    change_with_its_leaf(record, 2)
    record.session.commit()
    record.happen()
    record.note()
    with pytest.raises(Conflict, match="not the one that was signed before"):
        record.sign()


def test_nothing_is_signed_over_a_log_that_was_cut_off(record: Record) -> None:
    record.happen(5)
    record.prove()
    record.session.execute(delete(AuditLeaf).where(AuditLeaf.place > 2))
    record.session.commit()
    with pytest.raises(Conflict, match="not the one that was signed before"):
        record.sign()


def test_a_checkpoint_that_is_no_text_any_more_is_named(record: Record) -> None:
    for _ in range(2):
        record.happen()
        record.prove()
    content = bytearray(record.file.read_bytes())
    content[20] = 0xFF
    record.file.write_bytes(content)
    with pytest.raises(NoteInvalid, match=r"checkpoint 1 of"):
        record.verify()


def test_a_file_that_knows_more_than_the_database_is_left_alone(record: Record) -> None:
    """An older copy of the database was put in its place."""
    record.happen(5)
    record.prove()
    content = record.file.read_bytes()
    cut_off(record, 0)
    record.session.commit()
    with pytest.raises(Conflict, match="an older copy of the database"):
        publish_checkpoints(record.session, record.file, record.key)
    assert record.file.read_bytes() == content


def test_another_key_signs_nothing(record: Record) -> None:
    record.happen()
    record.note()
    with pytest.raises(Conflict, match="not that of this log"):
        record.sign(Ed25519PrivateKey.generate())


def test_the_file_of_another_log_is_left_alone(record: Record) -> None:
    other = Ed25519PrivateKey.generate()
    note = sign_head(Head("other/log", 7, b"7" * 32), other)
    record.file.write_text(f"{note}\n", encoding="utf-8")
    record.happen()
    record.note()
    record.sign()
    with pytest.raises(Conflict, match=r"of another log \(other/log\)"):
        publish_checkpoints(record.session, record.file, record.key)
    assert record.file.read_text(encoding="utf-8") == f"{note}\n"


def test_a_file_of_something_else_is_left_alone(record: Record) -> None:
    record.file.write_text("my shopping list\n\nmilk\n", encoding="utf-8")
    record.happen()
    record.note()
    record.sign()
    with pytest.raises(Conflict, match="damaged"):
        publish_checkpoints(record.session, record.file, record.key)


def test_a_file_that_was_taken_away_is_made_again(record: Record) -> None:
    for _ in range(3):
        record.happen()
        record.prove()
    record.file.unlink()
    publish_checkpoints(record.session, record.file, record.key)
    assert [head.size for head in verified_heads(record.file, record.key)] == [1, 2, 3]
    assert record.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 5, 60, 140])
def test_what_a_full_disk_left_half_written_is_written_again(record: Record, cut: int) -> None:
    for _ in range(2):
        record.happen()
        record.prove()
    whole = record.file.read_bytes()
    record.file.write_bytes(whole[:-cut])
    assert len([*read_notes(record.file)]) == 1
    assert last_head(record.file).size == 1  # type: ignore[union-attr]
    publish_checkpoints(record.session, record.file, record.key)
    assert record.file.read_bytes() == whole


def test_a_checkpoint_is_appended_wherever_the_end_that_is_read_begins(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the dash of an older signature, say, which takes three bytes."""
    for _ in range(6):
        record.happen()
        record.prove()
    whole = record.file.read_bytes()
    [*notes] = read_notes(record.file)
    before = len(whole) - len(f"{notes[-1]}\n".encode())
    for tail in range(before // 2, before // 2 + before // 5 + 1):
        monkeypatch.setattr(checkpoints, "TAIL", tail)
        record.file.write_bytes(whole[:before])
        publish_checkpoints(record.session, record.file, record.key)
        assert record.file.read_bytes() == whole, f"with the last {tail} bytes"


def test_a_checkpoint_of_the_file_that_was_changed_is_named(record: Record) -> None:
    for _ in range(3):
        record.happen()
        record.prove()
    text = record.file.read_text(encoding="utf-8")
    record.file.write_text(text.replace("\n2\n", "\n9\n"), encoding="utf-8")
    with pytest.raises(NoteInvalid, match=r"checkpoint 2 of .*signature is not good"):
        record.verify()


def test_killed_between_any_two_steps_nothing_is_lost_or_doubled(record: Record) -> None:
    """Noted and not signed, signed and not in the file: the next round goes on from there."""
    record.happen(3)
    record.note()
    record.session.rollback()
    record.happen(2)
    record.note()
    record.sign()
    record.happen()
    record.prove()
    assert record.verify() == Verified(6, 6)
    assert [head.size for head in verified_heads(record.file, record.key)] == [5, 6]


def test_a_late_transaction_is_added_after_what_came_before_it(record: Record) -> None:
    """On PostgreSQL an event may be committed after others with higher numbers."""
    record.happen(3)
    late = record.session.scalar(select(func.max(AuditEvent.id)))
    row = record.session.execute(select(AuditEvent.__table__).where(AuditEvent.id == late)).one()
    record.session.execute(delete(AuditEvent).where(AuditEvent.id == late))
    record.session.commit()
    record.happen(2)
    record.prove()
    if record.session.scalar(select(func.count()).select_from(AuditEvent)) == 4:
        ids = set(record.session.scalars(select(AuditEvent.id)))
        values = row._asdict() | {"id": late if late not in ids else max(ids) + 1}
        record.session.execute(insert(AuditEvent).values(**values))
        record.session.commit()
    record.prove()
    assert record.verify() == Verified(5, 5)


def test_an_export_proves_each_event_to_whoever_has_the_key(record: Record) -> None:
    record.happen(300)
    record.prove()
    record.happen(2)
    proofs = Proofs(record.session)
    lines = [*jsonl_lines(proven_events(record.session, proofs), proofs, str(record.key))]
    first, *events = [json.loads(line) for line in lines]
    head = verify_note(first["checkpoint"], record.key)
    assert (first["log_key"], head.size, len(events)) == (str(record.key), 300, 300)
    for number, line in enumerate(events):
        leaf = base64.b64decode(line["leaf"])
        path = [base64.b64decode(part) for part in line["proof"]]
        assert line["index"] == number
        assert json.loads(leaf) == line["event"]
        assert base64.b64decode(line["leaf_hash"]) == leaf_hash(leaf)
        assert root_from_path(leaf_hash(leaf), number, head.size, path) == head.root


def test_an_export_has_the_events_of_a_time_only(record: Record) -> None:
    for minute in range(3):
        record.happen(minutes=minute)
    record.prove()
    proofs = Proofs(record.session)
    start, end = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
    search = conditions(record.session, AuditSearch(start=start, end=end))
    places = [event.index for event in proven_events(record.session, proofs, *search)]
    assert places == [1]


def test_one_event_is_proven(record: Record) -> None:
    record.happen(5)
    record.prove()
    proofs = Proofs(record.session)
    assert prove_event(record.session, 4, proofs).content["key_id"] == "K7QF-3MX4"
    with pytest.raises(NotFound, match="no event with index 5"):
        prove_event(record.session, 5, proofs)


def test_without_a_checkpoint_there_is_nothing_to_prove(record: Record) -> None:
    with pytest.raises(NotFound, match="no checkpoint yet"):
        Proofs(record.session)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_spreadsheet_runs_a_name(record: Record, sign: str) -> None:
    """The attacker signs in as `=HYPERLINK(...)`; the auditor opens the export in a spreadsheet."""
    who = Actor(None, f'{sign}HYPERLINK("http://evil")', None, "203.0.113.7")
    log_event(record.session, AuditTag.SIGNED_IN, actor=who, now=NOW)
    record.session.commit()
    record.prove()
    proofs = Proofs(record.session)
    text = "".join(csv_lines(proven_events(record.session, proofs), proofs, str(record.key)))
    assert f"'{sign}HYPERLINK" in text
    assert not any(cell.startswith(sign) for cell in text.split(","))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("＝1+1", "'＝1+1"),
        ("x;=1+1;y", "x;'=1+1;y"),
        ('{"a": "x|@SUM(1)"}', '{"a": "x|\'@SUM(1)"}'),
        ("a=b; c-d, 1+1 @ home", "a=b; c-d, 1+1 @ home"),
    ],
)
def test_no_spreadsheet_runs_what_it_takes_for_a_cell_of_its_own(text: str, safe: str) -> None:
    """Many programs part a row at semicolons too, or ask the auditor, who presses Enter."""
    assert spreadsheet_safe(text) == safe


def test_the_leaf_is_as_documented(record: Record) -> None:
    at = datetime.fromisoformat("2026-11-24T15:40:00.000123+00:00")
    log_event(
        record.session,
        AuditTag.LICENSE_ISSUED,
        actor=SYSTEM,
        now=at,
        organisation_id="ORG-000123",
        subject="K7QF-3MXP",
        ttl=3600,
    )
    record.session.commit()
    row = record.session.execute(EVENTS).one()
    assert leaf_of(row).data.decode() == (
        '{"address":"","at":"2026-11-24T15:40:00.000123Z","detail":{"data":{"ttl":3600},'
        f'"person_id":null,"subject":"K7QF-3MXP"}},"id":{row.id},"key_id":"K7QF-3MXP",'
        '"kind":"license.issued","organisation_id":"ORG-000123","person":"system",'
        '"request_id":"","role":""}'
    )


class TestWhatIsKeptNoLonger:
    """PORTAL_KEEP_AUDIT: whole tiles go, and what is left is proven as before."""

    def cut(self, record: Record, before: datetime) -> int:
        count = cut_oldest_tile(record.session, before=before, now=record.now)
        record.session.commit()
        return count

    @pytest.fixture
    def long(self, record: Record) -> Record:
        """Three tiles and a part, each a day later than the one before."""
        for _ in range(3):
            record.happen(256)
            record.prove()
            record.now += timedelta(days=1)
        record.happen(10)
        record.prove()
        return record

    def test_a_tile_goes_when_all_of_it_is_old_enough(self, long: Record) -> None:
        for seconds, cut in ((-1, 0), (0, 0), (1, 256)):
            assert self.cut(long, NOW + timedelta(seconds=seconds)) == cut
        assert self.cut(long, NOW + timedelta(hours=1)) == 0
        long.prove()
        assert long.verify() == Verified(events=523, size=779)

    def test_a_clock_that_was_set_back_between_two_cuts_breaks_nothing(self, long: Record) -> None:
        assert self.cut(long, NOW + timedelta(hours=1)) == 256
        long.now -= timedelta(seconds=30)
        assert self.cut(long, NOW + timedelta(days=1, hours=1)) == 256
        long.prove()
        assert long.verify() == Verified(events=268, size=780)

    def test_later_events_are_proven_as_before(self, long: Record) -> None:
        self.cut(long, NOW + timedelta(hours=1))
        long.prove()
        proofs = Proofs(long.session)
        head = verify_note(proofs.note, long.key)
        events = [*proven_events(long.session, proofs)]
        assert [event.index for event in events] == [*range(256, 779)]
        for event in (events[0], events[300], events[-1]):
            hashed = leaf_hash(event.leaf)
            assert root_from_path(hashed, event.index, head.size, event.proof) == head.root
        with pytest.raises(NotFound, match="no event with index 255"):
            prove_event(long.session, 255, proofs)

    def test_the_last_tile_and_what_was_not_signed_stay(self, long: Record) -> None:
        late = long.now + timedelta(days=9)
        assert [self.cut(long, late) for _ in range(4)] == [256, 256, 256, 0]
        long.prove()
        assert long.verify().size == 781

    def test_whoever_cuts_more_than_the_log_says_is_found_out(self, long: Record) -> None:
        """The attacker takes out whole tiles at the beginning, as if it were for their age."""
        long.session.execute(delete(AuditLeaf).where(AuditLeaf.place < 256))
        long.session.commit()
        with pytest.raises(RecordBroken, match=r"before index 256 are missing; .*cut off at 0"):
            long.verify()

    def test_a_hash_of_what_was_cut_is_not_changed_unnoticed(self, long: Record) -> None:
        self.cut(long, NOW + timedelta(hours=1))
        long.prove()
        long.session.execute(update(AuditTile).where(AuditTile.place == 0).values(hash=b"x" * 32))
        long.session.commit()
        with pytest.raises(RecordBroken, match="index 256 to"):
            long.verify()
