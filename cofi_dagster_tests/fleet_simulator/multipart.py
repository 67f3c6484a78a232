"""The few parts of ``multipart/form-data`` (RFC 7578) that the OpenAI form of speech to text uses."""

from __future__ import annotations

from email.message import Message
from urllib.parse import unquote


def form_fields(content_type: bytes, body: bytes) -> dict[str, str]:
    """The form's fields; of a file its name. Empty where the body is no form."""
    kind = Message()
    kind["Content-Type"] = content_type.decode("latin-1")
    boundary = kind.get_boundary()
    if boundary is None:
        return {}
    fields: dict[str, str] = {}
    for part in body.split(b"--" + boundary.encode("latin-1"))[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        line = next((row for row in head.split(b"\r\n") if row.lower().startswith(b"content-disposition")), b"")
        disposition = Message()
        disposition["Content-Disposition"] = line.partition(b":")[2].decode("utf-8", "surrogateescape").strip()
        name = disposition.get_param("name", header="Content-Disposition")
        if isinstance(name, str):
            file = disposition.get_filename()
            fields[name] = unquote(file) if file is not None else content.removesuffix(b"\r\n").decode()
    return fields
