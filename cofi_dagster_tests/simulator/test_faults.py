"""The simulator's faults, latency and capacity: each seen by a client over a real socket."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import httpx
import psutil
import pytest

from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.fleet_simulator.front import SimulatorError
from cofi_dagster_tests.simulator.test_protocol import LLM1, ask, chat, content_of, llm2, put, transcript_of


@pytest.fixture
def http(fleet: FleetSimulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fleet.url(0), timeout=5) as client:
        put(client, "a.wav")
        put(client, "b.wav")
        yield client


@pytest.mark.parametrize("status", [400, 404, 408, 413, 415, 422, 425, 429, 500, 502, 503, 504, 507])
def test_any_status_can_be_the_next_reply_and_only_that(fleet: FleetSimulator, http: httpx.Client, status: int) -> None:
    fleet.fault("status", service="lid", file="a.wav", status=status, detail="why", retry_after=7)
    assert ask(http, "lid", "b.wav").status_code == 200
    assert ask(http, "denoise", "a.wav").status_code == 200
    reply = ask(http, "lid", "a.wav")
    assert (reply.status_code, reply.json(), reply.headers["Retry-After"]) == (status, {"detail": "why"}, "7")
    assert ask(http, "lid", "a.wav").status_code == 200
    assert fleet.counts(status=status) == {("lid", "a.wav"): 1}


def test_a_fault_fits_by_machine_service_and_pattern_for_so_many_requests(
    fleet: FleetSimulator, http: httpx.Client
) -> None:
    fleet.fault("status", machine=1, status=500, times=None)
    fleet.fault("status", machine=0, service="lid", file="b*", status=502, times=2)
    assert [ask(http, "lid", "b.wav").status_code for _ in range(3)] == [502, 502, 200]
    assert ask(http, "lid", "a.wav").status_code == 200
    assert [httpx.get(f"{fleet.url(1)}/health").status_code for _ in range(3)] == [500, 500, 500]
    assert fleet.faults_left() == 1
    fleet.clear_faults()
    assert httpx.get(f"{fleet.url(1)}/health").status_code == 200


def test_a_reply_can_have_any_body(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.fault("status", status=200, body='{"file": "other.wav", "audio_duration": -1}')
    assert ask(http, "denoise", "a.wav").json()["file"] == "other.wav"


def test_a_reply_can_be_no_json(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.fault("invalid_json")
    reply = ask(http, "stt", "a.wav")
    assert reply.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        reply.json()


def test_a_reply_can_have_the_wrong_shape(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.fault("wrong_shape")
    reply = ask(http, "stt", "a.wav")
    assert (reply.status_code, reply.json()) == (200, {"unexpected": True})


def test_an_llm_message_can_miss_its_schema_or_be_cut_short(fleet: FleetSimulator, http: httpx.Client) -> None:
    segments = transcript_of(http, "a.wav")
    fleet.fault("invalid_content", service="llm1")
    fleet.fault("length", service="llm2", file="a.wav")
    assert content_of(chat(http, LLM1, segments)) == {"unexpected": True}
    choice = chat(http, llm2(1), segments).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["content"])
    assert "q1" in content_of(chat(http, llm2(1), segments))


def test_a_connection_can_be_reset_instead_of_a_reply(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.fault("close", service="lid")
    with pytest.raises(httpx.ReadError, match="reset"):
        ask(http, "lid", "a.wav")
    assert ask(http, "lid", "a.wav").status_code == 200
    assert [(r.service, r.status) for r in fleet.requests()][-2:] == [("lid", 0), ("lid", 200)]


def test_a_reply_can_end_in_its_middle(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.fault("truncated")
    with pytest.raises(httpx.RemoteProtocolError):
        ask(http, "stt", "a.wav")


def test_a_reply_can_never_come(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.fault("hang", service="lid")
    with pytest.raises(httpx.ReadTimeout):
        http.post("/lid", json={"batch_id": 12, "file": "a.wav"}, timeout=0.3)
    assert ask(http, "lid", "a.wav").status_code == 200
    assert fleet.in_flight() == [0, 0]
    assert fleet.counts(status=0) == {("lid", "a.wav"): 1}


def test_a_reply_can_be_late(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.fault("delay", seconds=0.2)
    began = time.monotonic()
    assert ask(http, "lid", "a.wav").status_code == 200
    assert 0.2 <= time.monotonic() - began < 2


def test_uploads_and_health_have_faults_too(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.fault("status", service="files", status=507, detail="disk full")
    fleet.fault("status", service="health", status=503)
    assert put(http, "new.wav").status_code == 507
    assert http.head("/files/12/new.wav").status_code == 404
    assert [http.get("/health").status_code for _ in range(2)] == [503, 200]
    fleet.fault("close", service="files")
    with pytest.raises(httpx.ReadError):
        put(http, "new.wav")
    assert put(http, "new.wav").status_code == 201


def test_a_machine_can_forget_a_file(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.fault("forget", service="stt", file="a.wav")
    assert [ask(http, "stt", "a.wav").status_code for _ in range(2)] == [404, 404]
    put(http, "a.wav")
    assert ask(http, "stt", "a.wav").status_code == 200
    fleet.forget(0, "b.wav")
    assert ask(http, "lid", "b.wav").status_code == 404


def test_a_machine_that_is_down_refuses_and_comes_back_with_its_files(
    fleet: FleetSimulator, http: httpx.Client
) -> None:
    fleet.down(0)
    with pytest.raises(httpx.NetworkError):
        ask(http, "lid", "a.wav")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{fleet.url(0)}/health")
    assert httpx.get(f"{fleet.url(1)}/health").status_code == 200
    fleet.up(0)
    assert ask(http, "lid", "a.wav").status_code == 200


def test_a_machine_that_was_killed_comes_back_with_an_empty_disk(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.kill(0)
    fleet.up(0)
    with httpx.Client(base_url=fleet.url(0)) as again:
        assert ask(again, "lid", "a.wav").status_code == 404


async def _ask_at_once(fleet: FleetSimulator, number: int, machine: int = 0) -> list[tuple[int, str | None]]:
    async with aiohttp.ClientSession() as session:

        async def one(file: str) -> tuple[int, str | None]:
            url = f"{fleet.url(machine)}/lid"
            async with session.post(url, json={"batch_id": 12, "file": file}) as reply:
                await reply.read()
                return reply.status, reply.headers.get("Retry-After")

        return await asyncio.gather(*(one("ab"[i % 2] + ".wav") for i in range(number)))


def test_going_down_resets_what_is_in_flight(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.set_latency({"lid": 30})

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(asyncio.run, _ask_at_once(fleet, 4))
        while fleet.in_flight() != [4, 0]:
            time.sleep(0.01)
        fleet.down(0)
        with pytest.raises(aiohttp.ClientConnectionError):
            asking.result()
    assert fleet.in_flight() == [0, 0]
    assert fleet.max_in_flight() == [4, 0]


def _small_fleet(**options: Any) -> FleetSimulator:
    return FleetSimulator(machines=1, languages="en", **options)


def test_what_is_over_capacity_is_refused_with_the_time_to_wait() -> None:
    with _small_fleet(latency="lid=0.3", capacity=2, retry_after="1") as fleet:
        with httpx.Client(base_url=fleet.url()) as http:
            put(http, "a.wav")
            put(http, "b.wav")
        replies = asyncio.run(_ask_at_once(fleet, 5))
        assert sorted(replies, key=str) == [(200, None)] * 2 + [(503, "1")] * 3
        assert fleet.max_in_flight() == [2]


def test_what_is_over_capacity_can_wait_instead() -> None:
    with _small_fleet(latency=0.1, capacity=2, over_capacity="queue") as fleet:
        with httpx.Client(base_url=fleet.url()) as http:
            put(http, "a.wav")
            put(http, "b.wav")
        began = time.monotonic()
        assert asyncio.run(_ask_at_once(fleet, 6)) == [(200, None)] * 6
        assert time.monotonic() - began >= 0.3
        assert fleet.max_in_flight() == [2]


def test_latency_is_by_service_by_name_by_length_and_by_the_machines_speed() -> None:
    def seconds(fleet: FleetSimulator, service: str, file: str, machine: int = 0) -> float:
        with httpx.Client(base_url=fleet.url(machine)) as http:
            put(http, file)
            began = time.monotonic()
            assert ask(http, service, file).status_code == 200
            return time.monotonic() - began

    with FleetSimulator(machines=2, latency="denoise=0.1,ivr=lognormal:0.1:0.8", speeds="1,0.25") as fleet:
        assert 0.1 <= seconds(fleet, "denoise", "a.wav") < 0.3
        assert 0.4 <= seconds(fleet, "denoise", "a.wav", machine=1) < 0.8
        assert seconds(fleet, "lid", "a.wav") < 0.1
        drawn = [seconds(fleet, "ivr", f"{i}.wav") for i in range(5)]
        assert max(drawn) - min(drawn) > 0.02
        assert seconds(fleet, "ivr", "0.wav") == pytest.approx(drawn[0], abs=0.05)
        fleet.describe("long.wav", duration=300)
        fleet.set_latency({"stt": "per-second:0.001"})
        assert 0.3 <= seconds(fleet, "stt", "long.wav") < 0.6
        fleet.set_machine(1, speed=1.0)
        assert 0.1 <= seconds(fleet, "denoise", "a.wav", machine=1) < 0.3


def test_a_wrong_command_or_option_is_refused_with_a_message(
    fleet: FleetSimulator, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SimulatorError, match="is no fault"):
        fleet.fault("explode")  # type: ignore[arg-type]
    with pytest.raises(SimulatorError, match="IndexError"):
        fleet.down(9)
    with pytest.raises(SimulatorError), FleetSimulator(latency="tts=1"):
        pass
    assert "'tts' is no service" in capfd.readouterr().err


def test_no_simulator_outlives_its_starter() -> None:
    script = (
        "import time; from cofi_dagster_tests.fleet_simulator import FleetSimulator\n"
        "with FleetSimulator(machines=1) as fleet: print(fleet.pid, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    with starter:
        assert starter.stdout is not None
        simulator = psutil.Process(int(starter.stdout.readline()))
        starter.send_signal(signal.SIGKILL)
    assert psutil.wait_procs([simulator], timeout=5)[1] == []
