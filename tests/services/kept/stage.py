"""An installation of its own for each test, which is copied, changed, and restored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from app import create_app
from app.agents.registration import ensure_machine_salt
from app.agents.settling import Settled
from app.audit.journal import journal_beside
from app.audit.log_key import ensure_log_key
from app.cli.copies import make_copy
from app.cli.jobs import prove_record
from app.cli.restoring import Restore, restore_copy
from app.cli.setup import upgrade_database
from app.config import Config, load_config
from app.extensions import db
from app.licenses.keyring import ensure_signing_key
from tests.conftest import NOW, SECRET, Cast

PASSPHRASE = "a long passphrase"


class Installation:
    """One portal: its settings, the app, and what is done with copies of it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.app = create_app(config)
        self.copy = config.instance.parent / "one.backup"

    @contextmanager
    def context(self) -> Iterator[None]:
        with self.app.app_context():
            yield
            db.session.rollback()
            db.session.remove()

    def start(self) -> Cast:
        with self.context():
            upgrade_database(self.config, NOW)
            session = db.session()
            ensure_signing_key(session, signing_keys=self.config.signing_keys, now=NOW)
            ensure_machine_salt(session)
            ensure_log_key(session, instance=self.config.instance)
            session.commit()
            return Cast(session)

    def prove(self) -> None:
        """A round of the background process."""
        with self.context():
            prove_record(self.config)

    def back_up(self, file: Path | None = None) -> Path:
        file = file or self.copy
        with self.context():
            make_copy(self.config, file, passphrase=PASSPHRASE)
        return file

    def restore(self, file: Path | None = None, **how: object) -> Settled:
        wanted = {"passphrase": PASSPHRASE, "replace": True} | how
        with self.context():
            db.session.remove()
            db.engine.dispose()
            return restore_copy(self.config, Restore(file or self.copy, **wanted))  # type: ignore[arg-type]

    @property
    def journal(self) -> Path:
        return journal_beside(self.config.checkpoints)

    def close(self) -> None:
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()


def new_installation(folder: Path, url: str | None, **settings: str) -> Installation:
    environ = {"PORTAL_INSTANCE": str(folder), "PORTAL_SECRET_KEY": SECRET} | settings
    if url is not None:
        environ["PORTAL_DATABASE_URL"] = url
    return Installation(load_config(environ))


@contextmanager
def empty_postgres(url: str, name: str) -> Iterator[str]:
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url.replace("/postgres?", f"/{name}?")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()
