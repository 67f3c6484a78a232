"""API keys: who may do what. Keys are kept as SHA-256 and compared in constant time; they are never logged."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from enum import StrEnum

from cofi_dagster.settings import Settings, SettingsError


class Role(StrEnum):
    """What a key may do: look, or also start and stop."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Key:
    """A key by its digest, whose it is, and what it may do."""

    name: str
    role: Role
    digest: bytes


def keys_of(settings: Settings) -> tuple[Key, ...]:
    """The keys of ``COFI_API_KEYS``.

    Raises:
        SettingsError: an entry is neither ``key`` nor ``name:role:key``, or its digest is none.
    """
    return tuple(_key(secret.get_secret_value(), number) for number, secret in enumerate(settings.api_keys, 1))


def _key(entry: str, number: int) -> Key:
    where = f"COFI_API_KEYS: entry {number}"
    prefix, _, rest = entry.partition(":")
    if not rest or prefix == "sha256":
        return Key(f"key {number}", Role.OPERATOR, _digest(entry, where))
    role, _, secret = rest.partition(":")
    if role not in tuple(Role) or not prefix or not secret:
        raise SettingsError(f"{where} must be key, or name:role:key with role viewer or operator")
    return Key(prefix, Role(role), _digest(secret, where))


def _digest(secret: str, where: str) -> bytes:
    kind, _, given = secret.partition(":")
    if kind != "sha256" or not given:
        return hashlib.sha256(secret.encode()).digest()
    try:
        digest = bytes.fromhex(given)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise SettingsError(f"{where}: sha256: must be followed by 64 hexadecimal digits")
    return digest


def find(keys: tuple[Key, ...], secret: str) -> Key | None:
    """The key that this secret is, or None; the time taken tells nothing."""
    digest = hashlib.sha256(secret.encode()).digest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def check_binding(settings: Settings) -> None:
    """Refuse to listen beyond this machine without keys.

    Raises:
        SettingsError: the address is not a loopback one and ``COFI_API_KEYS`` is empty.
    """
    if not keys_of(settings) and not is_loopback(settings.web_host):
        raise SettingsError(f"COFI_WEB_HOST is {settings.web_host}, which others can reach: set COFI_API_KEYS first")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
