"""The installation that the pages are looked at on: a batch in each state, small ones that really ran against the
simulated fleet and one of 10,000 files in the middle of speech to text, whose rows are written as a run leaves them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psutil
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.bulk import insert_rows
from cofi_dagster.database.engine import writing
from cofi_dagster.pipeline.control import Control
from cofi_dagster.stages import NAMES, STAGES
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

FILES = 10_000
HINDI = "हाँ, टाटा स्टील के पाँच सौ शेयर बाज़ार भाव पर ख़रीद लो 🙏"
_SENT = 4_000
_MACHINES = ("10.0.0.11", "10.0.0.12")
_NOW = datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class Installation:
    """Ids of its batches, by what they are."""

    site: Site
    finished: int
    """8 calls, one of which failed in speech to text; completed. :data:`HINDI` is said in ``hindi_call``."""
    failed: int
    """4 calls, all of which language identification refused."""
    paused: int
    """12 calls, paused before speech to text."""
    running: int
    """10,000 calls, of which speech to text has 4,000, 40 of them failed; three a reason."""
    empty: int
    """No file, and nothing has begun."""
    hindi_call: int
    """The id of a call of ``finished`` in Hindi."""


def install(site: Site, fleet: FleetSimulator) -> Installation:
    """Make it all; the fleet is left without faults."""
    finished = _finished(site, fleet)
    failed = _failed(site, fleet)
    paused = site.make(12, key="2026-01-13_1")
    site.up_to(paused, "triaging")
    Control(site.engine, site.settings).pause(paused, by="anna")
    empty = site.make([], key="2026-01-16_1", complete=False)
    return Installation(site, finished, failed, paused, running_batch(site), empty, _hindi(site, finished))


def _finished(site: Site, fleet: FleetSimulator) -> int:
    names = [f"call_{number:06d}.wav" for number in range(7)]
    batch = site.make([*names, "बातचीत.wav"], key="2026-01-12_1")
    fleet.fault("status", service="stt", file=names[6], times=None, status=422, detail="the audio has no samples")
    site.run(batch)
    fleet.clear_faults()
    return batch


def _failed(site: Site, fleet: FleetSimulator) -> int:
    batch = site.make(4, key="2026-01-14_1")
    fleet.fault("status", service="lid", times=None, status=422, detail="the audio cannot be decoded")
    site.up_to(batch, "ivr")
    try:
        site.run(batch, "lid")
    except RuntimeError:
        return batch
    finally:
        fleet.clear_faults()
    raise AssertionError("a stage all of whose files fail has to fail")


def _hindi(site: Site, batch: int) -> int:
    """Let the client of one call speak Hindi."""
    call = t.call
    with writing(site.engine) as connection:
        found = sa.select(call.c.id).where(call.c.batchId == batch, call.c.audioName == "बातचीत.wav")
        call_id = int(connection.execute(found).scalar_one())
        connection.execute(call.update().where(call.c.id == call_id).values(lang="hi"))
        second = (t.transcript.c.callId == call_id) & (t.transcript.c.segmentIndex == 2)
        connection.execute(t.transcript.update().where(second).values(text=HINDI, speaker="client"))
    return call_id


# -- the batch at work -----------------------------------------------------------------------------------------------


def running_batch(site: Site) -> int:
    """Write the batch of 10,000 files that is at work; its id."""
    with writing(site.engine) as connection:
        made = connection.execute(t.batch_status.insert().values(_batch_row()))
        assert made.inserted_primary_key is not None
        batch = int(made.inserted_primary_key[0])
        insert_rows(connection, t.file_distribution, list(_files(batch)))
        insert_rows(connection, t.call, list(_calls(batch)))
        known = sa.select(t.call.c.audioName, t.call.c.id).where(t.call.c.batchId == batch)
        ids = {row.audioName: row.id for row in connection.execute(known)}
        insert_rows(connection, t.processing_logs, list(_failures(batch, ids)))
        connection.execute(t.stage_detail.insert(), list(_details(batch)))
        connection.execute(t.batch_execution_log.insert(), list(_events(batch)))
        connection.execute(t.batch_lease.insert().values(_lease(batch)))
    return batch


def _name(number: int) -> str:
    return f"call_{number:06d}.wav"


def _batch_row() -> dict[str, Any]:
    row: dict[str, Any] = {
        "batchDate": date(2026, 1, 15), "batchNumber": 1, "status": "LidDone", "totalFiles": FILES,
        "createdAt": _NOW - timedelta(minutes=90),
    }  # fmt: skip
    done = NAMES[: NAMES.index("stt")]
    for place, stage in enumerate(STAGES[: len(done) + 1]):
        begins = _NOW - timedelta(minutes=88 - 10 * place)
        row[stage.start_column] = begins
        if stage.name in done:
            row[stage.end_column] = begins + timedelta(minutes=9)
            row[stage.status_column] = 1 if stage.status_is_flag else "Complete"
        else:
            row[stage.status_column] = "InProgress"
    return row


def _files(batch: int) -> Iterator[dict[str, Any]]:
    for number in range(FILES):
        yield {
            "batchId": batch, "file": _name(number), "ip": _MACHINES[number % 2], "denoiseDone": 1, "ivrDone": 1,
            "lidDone": 1, "sttDone": int(40 <= number < _SENT),
        }  # fmt: skip


def _calls(batch: int) -> Iterator[dict[str, Any]]:
    for number in range(FILES):
        status = "TranscriptDone" if 40 <= number < _SENT else "Pending"
        yield {
            "batchId": batch, "audioName": _name(number), "status": status, "lang": ("en", "hi")[number % 2],
            "audioDuration": 30.0 + number % 200,
        }  # fmt: skip


def _failures(batch: int, ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    reasons = ("HTTP 422: the audio has no samples", "timed out after 120 s", "HTTP 500: out of memory")
    for number in range(40):
        yield {
            "call_id": ids[_name(number)], "batch_id": batch, "stage_name": "stt", "status": "failed",
            "error_message": f"{_name(number)}: {reasons[number % 3]}",
        }  # fmt: skip


def _details(batch: int) -> Iterator[dict[str, Any]]:
    for name in NAMES[: NAMES.index("stt")]:
        yield {
            "batchId": batch, "stage": name, "itemsTotal": FILES, "itemsDone": FILES, "itemsFailed": 0,
            "itemsSkipped": 0, "itemsWorked": FILES, "workDone": 60.0 * FILES, "secondsAtWork": 540.0, "pace": None,
            "paceAt": None,
        }  # fmt: skip
    yield {
        "batchId": batch, "stage": "stt", "itemsTotal": FILES, "itemsDone": _SENT - 40, "itemsFailed": 40,
        "itemsSkipped": 0, "itemsWorked": _SENT, "workDone": 60.0 * _SENT, "secondsAtWork": 1080.0,
        "pace": {
            "seconds": 1620.0, "low": 1500.0, "high": 1740.0, "filesLeft": FILES - _SENT,
            "inFlight": {_MACHINES[0]: 8, _MACHINES[1]: 5}, "aside": {"10.0.0.13": "refused three times in a row"},
        },
        "paceAt": _NOW,
    }  # fmt: skip


def _events(batch: int) -> Iterator[dict[str, Any]]:
    began = _NOW - timedelta(minutes=18)
    common = {"batchId": batch, "stage": "stt", "status": "InProgress", "totalFiles": FILES}
    yield {**common, "eventType": "stage_start", "processedFiles": 0, "createdAt": began}
    for hundred in range(1, _SENT // 100 + 1):
        at = began + timedelta(seconds=27 * hundred)
        yield {**common, "eventType": "stage_progress", "processedFiles": 100 * hundred, "createdAt": at}


def _lease(batch: int) -> dict[str, Any]:
    """This process works on it, and is alive."""
    return {
        "batchId": batch, "runId": "11111111-2222-3333-4444-555555555555", "host": socket.gethostname(),
        "pid": os.getpid(), "processStarted": psutil.Process().create_time(),
    }  # fmt: skip
