"""Receiving a multipart upload piece by piece: files go to disk as they come, and nothing is held whole in memory."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from typing import Any

import anyio
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from cofi_dagster.adhoc.uploads import Upload, UploadRefused, UploadTooLarge
from cofi_dagster.audit.questionnaire import DEFAULT_CATEGORY_MAPPING_ID, DEFAULT_PROCESS_ID

_MOST_FIELDS = 20
_LONGEST_FIELD = 1024
_LAST_LOOK_SECONDS = 0.05


async def receive(request: Request, upload: Upload) -> dict[str, str]:
    """Store the files of a request in ``upload``; its other fields by name.

    Raises:
        UploadRefused: it is no multipart request, or a file or field cannot be taken.
        UploadTooLarge: a file, or the whole, is over its limit.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise UploadRefused("files: the request must be multipart/form-data with a boundary")
    settings = upload.settings
    most = settings.upload_max_file_mb * 1e6 * settings.upload_max_files + 1e6
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > most:
        raise UploadTooLarge(f"files: the request is larger than {most / 1e6:g} MB")
    form = _Form(upload)
    parser = MultipartParser(options[b"boundary"], form.callbacks())
    try:
        async for chunk in request.stream():
            if chunk:
                await anyio.to_thread.run_sync(parser.write, chunk)
        parser.finalize()
    except MultipartParseError as error:
        raise UploadRefused(f"files: the request is no valid multipart: {error}") from None
    if not form.is_whole:
        raise UploadRefused("files: the request ends in the middle")
    if await _has_gone(request):
        raise UploadRefused("files: the sender stopped before the reply")
    return form.fields


def questionnaire_of(fields: Mapping[str, str]) -> tuple[int, int]:
    """The process and the category whose questions an upload asks for.

    Raises:
        UploadRefused: one of them is no whole number.
    """
    process_id = _number(fields, "process_id", DEFAULT_PROCESS_ID)
    return process_id, _number(fields, "category_mapping_id", DEFAULT_CATEGORY_MAPPING_ID)


def _number(fields: Mapping[str, str], name: str, default: int) -> int:
    text = fields.get(name, "").strip()
    if name not in fields:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) < 2**31 or len(text) > 10:
        raise UploadRefused(f"{name}: must be a whole number from 1 to {2**31 - 1}")
    return int(text)


async def _has_gone(request: Request) -> bool:
    """Whether the sender has gone: one that stops at the end of what it sends is noticed a moment after that."""
    with anyio.move_on_after(_LAST_LOOK_SECONDS):
        message = await request.receive()
        return bool(message["type"] == "http.disconnect")
    return False


class _Form:
    """What the parser finds, part by part."""

    def __init__(self, upload: Upload) -> None:
        self.fields: dict[str, str] = {}
        self.is_whole = False
        self._upload = upload
        self._header: list[bytes] = [b"", b""]
        self._disposition: bytes | None = None
        self._name = ""
        self._value: bytearray | None = None

    def callbacks(self) -> Any:
        """The parser's callbacks."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._start,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._whole,
        }

    def _begin(self) -> None:
        self._disposition = None
        self._header = [b"", b""]

    def _add_header(self, part: int, data: bytes) -> None:
        self._header[part] += data

    def _end_header(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = [b"", b""]

    def _start(self) -> None:
        name, file_name = _names(self._disposition)
        self._name = name
        if file_name is None:
            if len(self.fields) >= _MOST_FIELDS:
                raise UploadRefused("the request has too many fields")
            self._value = bytearray()
        elif name != "files":
            raise UploadRefused(f"files: the files' field is called 'files', not '{name[:40]}'")
        else:
            self._value = None
            self._upload.start(file_name)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._value is None:
            self._upload.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _LONGEST_FIELD:
            raise UploadRefused(f"{self._name[:40]}: the value is too long")

    def _end(self) -> None:
        if self._value is None:
            self._upload.end()
        elif self._name in self.fields:
            raise UploadRefused(f"{self._name[:40]}: the field is there twice")
        else:
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _whole(self) -> None:
        self.is_whole = True


def _names(disposition: bytes | None) -> tuple[str, str | None]:
    """The names of a part's field and file. RFC 7578 has them in UTF-8; RFC 2231's form is understood too."""
    message = Message()
    message["content-disposition"] = (disposition or b"").decode("utf-8", "replace")
    name = message.get_param("name", "", "content-disposition")
    file_name = message.get_filename()
    if not isinstance(name, str) or not name:
        raise UploadRefused("files: a part of the request has no name")
    return name, file_name
