"""Sentences for people about what is wrong with the database, if it is not a bug of ours."""

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

READ_ONLY = (
    "The database can be read but not written. Nothing was saved. "
    "The person who runs this portal must make its file and folder writable."
)
FULL = "The disk is full. Nothing was saved. The person who runs this portal must make room on it."
MISSING = (
    "The database file is missing or cannot be opened. "
    "The person who runs this portal must put it back, or start the portal again."
)
NOT_SET_UP = (
    "The database has not been set up. "
    "The person who runs this portal must start it with `make run`."
)
DAMAGED = "The database file is damaged. The person who runs this portal must put a copy back."
EXPLANATIONS = {
    "locked": "Another change has been holding the database for too long. "
    "Nothing was saved; try again in a minute.",
    "lock timeout": "Another change has been holding the database for too long. "
    "Nothing was saved; try again in a minute.",
    "deadlock": "Two changes got into each other's way. Nothing was saved; try again.",
    "readonly": READ_ONLY,
    "read-only": READ_ONLY,
    "disk is full": FULL,
    "no space left": FULL,
    "unable to open": MISSING,
    "disk i/o": "The disk refused to read or write. Nothing was saved. "
    "The person who runs this portal must look at it.",
    "no such table": NOT_SET_UP,
    "does not exist": NOT_SET_UP,
    "not a database": DAMAGED,
    "malformed": DAMAGED,
    "connection": "The database server cannot be reached. Nothing was saved; "
    "try again in a minute.",
}


def explain_database_error(error: DBAPIError) -> str | None:
    """A sentence that explains `error`, found by the driver's message; None for a bug of ours."""
    if isinstance(error, IntegrityError | DataError):
        return None
    message = str(error.orig).lower()
    return next((sentence for sign, sentence in EXPLANATIONS.items() if sign in message), None)
