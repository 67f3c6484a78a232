"""The recording of a call: whether it is at hand, and its bytes, with seeking. Only ever a file of the batch's own."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.batches import Batch
from cofi_dagster.web.audio_decoding import DecodedAudio, folder_of, media_type_of
from cofi_dagster.web.call_reads import UnknownCall
from cofi_dagster.web.pages.desk import Desk, Id

_HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as the page of its call knows it: to be played, or why it cannot be.

    ``is_decoded``: it is decoded when it is first played, which takes some seconds of an hour of sound.
    """

    sentence: str | None = None
    is_decoded: bool = False


class NoRecording(LookupError):
    """The recording is not at hand; the message says why."""


def path_of(batch: Batch, file: str) -> Path:
    """Where the recording is: a file in the batch's directory itself, never what a name or a link leads to elsewhere.

    Raises:
        NoRecording: there is no such file.
    """
    path = batch.path_of(file)
    if not batch.directory.is_dir():
        raise NoRecording("its batch directory is not on this machine, or cannot be reached")
    try:
        if path.resolve().parent != batch.directory.resolve():
            raise NoRecording("its name leads out of the batch directory")
        mode = path.lstat().st_mode
    except FileNotFoundError:
        raise NoRecording("the file is not in its batch directory any more") from None
    except OSError as error:
        raise NoRecording(f"the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise NoRecording("its name is none that a file can have") from None
    if not stat.S_ISREG(mode):
        raise NoRecording("it is a link or no regular file, which is never followed")
    return path


def recording(batch: Batch, file: str) -> Recording:
    """Whether the recording of a call can be played."""
    from cofi_dagster.node.audio import AudioError

    try:
        return Recording(is_decoded=media_type_of(path_of(batch, file), file) is None)
    except NoRecording as missing:
        return Recording(f"The recording is not at hand: {missing}.")
    except (AudioError, OSError) as error:
        return Recording(f"The recording cannot be played: {error}.")


def routes(desk: Desk) -> APIRouter:
    """``/cofi/call/{id}/audio``."""
    router = APIRouter()
    decoded = DecodedAudio(folder_of(desk.settings.home))

    @router.get("/cofi/call/{call_id}/audio")
    def audio(call_id: Id) -> Response:
        """The recording, or the part of it that the request's ``Range`` names."""
        from cofi_dagster.node.audio import AudioError

        call = _call(call_id)
        try:
            batch = batches.by_id(desk.engine, call.batchId, desk.settings.batches)
            playable = decoded.playable(path_of(batch, call.audioName), call.audioName)
        except NoRecording as missing:
            raise HTTPException(404, f"the recording is not at hand: {missing}") from None
        except AudioError as error:
            raise HTTPException(error.status, str(error)) from None
        except OSError as error:
            raise HTTPException(404, f"the recording cannot be read: {error.strerror}") from None
        return FileResponse(
            playable.path,
            headers=_HEADERS,
            media_type=playable.media_type,
            filename=call.audioName,
            content_disposition_type="inline",
        )

    def _call(call_id: int) -> Any:
        query = sa.select(t.call.c.batchId, t.call.c.audioName).where(t.call.c.id == call_id)
        with reading(desk.engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise UnknownCall(f"there is no call {call_id}")
        return row

    return router
