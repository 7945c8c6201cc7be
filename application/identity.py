"""Commands on identity: the first contact, workspaces' members, users, API keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from application.log import Log, VersionConflict
from domain.api_key import MAX_LIFETIME_DAYS, SCOPES, ApiKey, KeyText, key_uuid
from domain.errors import Invalid, NotFound
from domain.events import SYSTEM, Actor
from domain.user import User, user_uuid
from domain.values import dataclass
from domain.workspace import ROLES, Role, Workspace, workspace_uuid

DEFAULT_WORKSPACE = "default"
DEFAULT_OWNER = "owner"
DEFAULT_LIFETIME_DAYS = 90


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key just made; `text` is shown once and stored nowhere."""

    text: str
    key_id: str
    expires_at: datetime
    position: int


class Identity:
    """The commands that faces use. `now` gives aware UTC time."""

    def __init__(self, log: Log, now: Callable[[], datetime]) -> None:
        self.log = log
        self._now = now

    def first_contact(self) -> IssuedKey | None:
        """Make workspace `default`, user `owner` and one API key; None when they exist already."""
        if self.log.find(Workspace, workspace_uuid(DEFAULT_WORKSPACE)) is not None:
            return None
        workspace = Workspace.open(SYSTEM, DEFAULT_WORKSPACE)
        owner = User.register(SYSTEM, DEFAULT_OWNER, str(workspace.id))
        workspace.add_member(SYSTEM, str(owner.id), "owner")
        key, issued = self._key(SYSTEM, str(workspace.id), "first key", str(owner.id), SCOPES, MAX_LIFETIME_DAYS)
        try:
            position = self.log.put(workspace, owner, issued)
        except VersionConflict:
            return None
        return IssuedKey(key.text, key.key_id, self._end(MAX_LIFETIME_DAYS), position)

    def issue_key(
        self, by: Actor, workspace: str, name: str, scopes: Sequence[str], *, user: str = "", days: int | None = None
    ) -> IssuedKey:
        """A new key of a workspace, valid for `days` (90 unless given, at most 366)."""
        days = DEFAULT_LIFETIME_DAYS if days is None else days
        if not 1 <= days <= MAX_LIFETIME_DAYS:
            raise Invalid(f"a key lives 1 to {MAX_LIFETIME_DAYS} days, not {days}", code="invalid_lifetime")
        key, issued = self._key(by, workspace, name, user or str(user_uuid(DEFAULT_OWNER)), scopes, days)
        return IssuedKey(key.text, key.key_id, self._end(days), self.log.put(issued))

    def revoke_key(self, by: Actor, workspace: str, key_id: str) -> int:
        """End a key of this workspace."""
        if (whole := KeyText.parse(key_id)) is not None:
            raise NotFound("a key is named by its id, not by its text", remedy=f"its id is {whole.key_id}")
        key = self.log.find(ApiKey, key_uuid(key_id))
        if key is None or key.workspace != workspace:
            raise NotFound(f"there is no key {key_id} in this workspace")
        key.revoke(by)
        return self.log.put(key)

    def add_member(self, by: Actor, workspace: str, login: str, role: str) -> int:
        """Let a user into the workspace, registering the user when new."""
        known = _role(role)
        if not login or len(login) > 255 or not login.isprintable():
            raise Invalid("a login name has 1 to 255 printable characters", code="invalid_login")
        room = self.log.load(Workspace, UUID(workspace))
        user = self.log.find(User, user_uuid(login)) or User.register(by, login, workspace)
        room.add_member(by, str(user.id), known)
        return self.log.put(room, user)

    def remove_member(self, by: Actor, workspace: str, user: str) -> int:
        """Send a user out of the workspace."""
        room = self.log.load(Workspace, UUID(workspace))
        room.remove_member(by, user)
        return self.log.put(room)

    def _key(self, by: Actor, workspace: str, name: str, user: str, scopes: Sequence[str], days: int) -> tuple[KeyText, ApiKey]:
        key = KeyText.generate()
        issued = ApiKey.issue(by, key, workspace=workspace, name=name, user=user, scopes=scopes, expires_at=self._end(days))
        return key, issued

    def _end(self, days: int) -> datetime:
        return self._now() + timedelta(days=days)


def _role(text: str) -> Role:
    for role in ROLES:
        if role == text:
            return role
    raise Invalid(f"there is no role {text}", code="unknown_role", remedy=f"choose from {', '.join(ROLES)}")
