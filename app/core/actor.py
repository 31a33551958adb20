"""The person behind a request or a command, as services know them."""

import os
import pwd
from dataclasses import dataclass

from app.core.errors import NotAllowed
from app.core.permissions import Permission, Role, allows


@dataclass(frozen=True)
class Actor:
    """The person who acts. `address` is their network address, or "command line".

    `system_user` is the operating system's user who runs a command, on behalf of this person.
    """

    user_id: int | None
    email: str
    role: Role | None
    address: str
    system_user: str = ""

    def must(self, permission: Permission) -> None:
        """Raise NotAllowed unless this person's role carries `permission`."""
        if self.role is None or not allows(self.role, permission):
            raise NotAllowed(f"{self.email or 'Nobody'} may not do that.")


def _system_user() -> str:
    """By its number, since the environment says what one likes; the number if it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


SYSTEM = Actor(user_id=None, email="system", role=None, address="")
"""The portal itself, when it is set up."""

COMMAND_LINE = Actor(
    user_id=None,
    email="command line",
    role=Role.SUPER_ADMIN,
    address="command line",
    system_user=_system_user(),
)
"""Somebody who can run commands on the server, and so may do what a super admin may."""
