"""What kind of audio a file is, by its first bytes; by its name only where a format has no header of its own."""

from __future__ import annotations

from pathlib import PurePosixPath

HEAD_BYTES = 512
"""How much of a file's beginning is looked at."""

# (offset, bytes there, suffix of the stored file)
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"fLaC", ".flac"),
    (0, b"OggS", ".ogg"),
    (0, b"ID3", ".mp3"),
    (0, b"#!AMR", ".amr"),
    (0, b".snd", ".au"),
    (4, b"ftyp", ".m4a"),
    (8, b"WAVE", ".wav"),
    (8, b"AIFF", ".aiff"),
    (8, b"AIFC", ".aiff"),
    (0, b"\x1aE\xdf\xa3", ".webm"),
    (0, b"0&\xb2u\x8ef\xcf\x11", ".wma"),
)
_HEADERLESS = frozenset({".g729", ".g723", ".gsm", ".ul", ".ulaw", ".al", ".alaw"})
_TEXT = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}
_OTHER = (b"\x7fELF", b"MZ", b"PK\x03\x04", b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x1f\x8b", b"SQLite")


def suffix_of(name: str, head: bytes) -> str | None:
    """The suffix for a file of this name that begins with ``head``; None where it is no audio that COFI knows."""
    for offset, mark, suffix in _MAGIC:
        if head[offset : offset + len(mark)] == mark:
            return suffix
    if head.startswith(_OTHER):
        return None
    if _is_mpeg(head):
        return ".mp3"
    named = PurePosixPath(name).suffix.lower()
    return named if named in _HEADERLESS and not _is_text(head) else None


def _is_mpeg(head: bytes) -> bool:
    """An MPEG audio or ADTS frame: eleven bits set, then no reserved version, layer, bit rate or sampling rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and (layer != 0 or head[1] & 0xF6 == 0xF0) and head[2] >> 4 != 0xF and head[2] >> 2 & 3 != 3


def _is_text(head: bytes) -> bool:
    return bool(head) and all(byte in _TEXT for byte in head)
