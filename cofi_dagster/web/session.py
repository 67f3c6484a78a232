"""Browser sessions: a signed cookie that says whose key a person logged in with, and tokens that tie forms to it.

Nothing is kept on the server but the secret that signs, in ``COFI_HOME``: every web server of an installation knows the
sessions of the others, a restart ends none, and taking a key out of ``COFI_API_KEYS`` ends all sessions of that key.
"""

from __future__ import annotations

import hmac
import os
import secrets
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.responses import Response
from starlette.types import Scope

from cofi_dagster.settings import Settings
from cofi_dagster.web.keys import Key

COOKIE = "cofi_session"
OPEN = "open"
"""The session of a person whom nobody asks for a key."""
_SAID = "cofi_said"
_SAID_SECONDS = 60
_SECRET_FILE = "session.secret"


@dataclass(frozen=True, slots=True)
class Session:
    """A person's visit: its id, and the key that it was opened with."""

    id: str
    key: Key


class Sessions:
    """Opens sessions and knows them again."""

    def __init__(self, settings: Settings, keys: tuple[Key, ...]) -> None:
        self._secret = _secret(settings.home)
        self._seconds = int(settings.session_hours * 3600)
        self._keys = {self._mark(key): key for key in keys}
        self._sessions = URLSafeTimedSerializer(self._secret, salt="cofi session")
        self._said = URLSafeTimedSerializer(self._secret, salt="cofi said")

    def _mark(self, key: Key) -> str:
        """What the cookie names a key by: it tells nothing about the key."""
        return hmac.new(self._secret, b"key" + key.digest, sha256).hexdigest()[:32]

    def open(self, response: Response, key: Key, *, secure: bool) -> None:
        """Log a person in with the key: the response sets the cookie."""
        value = self._sessions.dumps([secrets.token_urlsafe(18), self._mark(key)])
        assert isinstance(value, str)
        response.set_cookie(COOKIE, value, max_age=self._seconds, httponly=True, samesite="lax", secure=secure)

    def close(self, response: Response) -> None:
        """Log the person out."""
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Session | None:
        """The session that a request belongs to, or None."""
        value = _cookies(headers).get(COOKIE)
        if not value:
            return None
        try:
            found = self._sessions.loads(value, max_age=self._seconds)
        except BadSignature:
            return None
        key = self._keys.get(found[1])
        return None if key is None else Session(found[0], key)

    # -- forms ---------------------------------------------------------------------------------------------------

    def token(self, session_id: str) -> str:
        """The token that a form of this session carries against cross-site request forgery."""
        return hmac.new(self._secret, b"form" + session_id.encode(), sha256).hexdigest()

    def is_token(self, session_id: str, token: str) -> bool:
        """Whether a form carries the token of this session."""
        return hmac.compare_digest(self.token(session_id).encode(), token.encode())

    # -- what a form's page says next ----------------------------------------------------------------------------

    def say(self, response: Response, sentence: str, *, is_error: bool = False) -> None:
        """Let the next page begin with a sentence."""
        value = self._said.dumps([sentence[:500], is_error])
        assert isinstance(value, str)
        response.set_cookie(_SAID, value, max_age=_SAID_SECONDS, httponly=True, samesite="lax", path="/cofi")

    def said(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, bool] | None:
        """The sentence that the page begins with, and whether it is an error."""
        value = _cookies(headers).get(_SAID)
        if not value:
            return None
        try:
            sentence, is_error = self._said.loads(value, max_age=_SAID_SECONDS)
        except BadSignature:
            return None
        return str(sentence), bool(is_error)

    def forget_said(self, response: Response) -> None:
        """Say it once."""
        response.delete_cookie(_SAID, httponly=True, samesite="lax", path="/cofi")


def session_id(scope: Scope) -> str:
    """The id of the session that a request belongs to."""
    found = scope.get("state", {}).get("session")
    return found.id if isinstance(found, Session) else OPEN


def _cookies(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: SimpleCookie = SimpleCookie()
    for name, value in headers:
        if name.lower() == b"cookie":
            try:
                found.load(value.decode("latin-1"))
            except CookieError:
                continue
    return {name: morsel.value for name, morsel in found.items()}


def _secret(home: Path) -> bytes:
    """The installation's secret, made once; only its owner can read the file."""
    path = home / _SECRET_FILE
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        descriptor, made = tempfile.mkstemp(dir=home)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        with suppress(FileExistsError):
            os.link(made, path)
        os.unlink(made)
    return path.read_bytes()
