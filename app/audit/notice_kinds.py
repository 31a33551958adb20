"""What notices tell of: a closed list, whose values are the types of webhooks."""

from app.core.labelled import Labelled


class NoticeKind(Labelled):
    """What happened, as receivers know it."""

    REQUEST_MADE = "request.made", "A request is made"
    REQUEST_APPROVED = "request.approved", "A request is approved"
    REQUEST_REFUSED = "request.refused", "A request is refused"
    KEY_GENERATED = "key.generated", "A key is generated"
    KEY_ENDS_SOON = "key.ends_soon", "A key ends soon"
    KEY_EXTENDED = "key.extended", "A key is extended"
    KEY_REVOKED = "key.revoked", "A key is revoked"
    KEY_EXPIRED = "key.expired", "A key has expired"
    USER_INVITED = "user.invited", "A user is invited"
    SIGNING_KEY_ROTATED = "signing_key.rotated", "The signing key is rotated"
    NEW_BROWSER = "portal.new_browser", "Somebody signs in from a new browser"


KINDS = {kind.value: kind for kind in NoticeKind}
"""Each kind by its stored value."""
