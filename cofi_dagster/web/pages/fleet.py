"""The page of the fleet: which machines there are, how they are, what they do and what went wrong with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from cofi_dagster.database.engine import reading
from cofi_dagster.fleet.health import Question, State
from cofi_dagster.stages import SERVICES
from cofi_dagster.web.health_watch import Answer, HealthWatch
from cofi_dagster.web.pages.desk import Desk
from cofi_dagster.web.pages.fleet_reads import Machine, at_work, last_over, machines, services


@dataclass(frozen=True, slots=True)
class Line:
    """A machine as the page shows it: of each service what it said of its health, or None before it was asked."""

    machine: Machine
    health: Mapping[str, Answer | None]

    @property
    def troubles(self) -> dict[str, list[str]]:
        """Why services are not ready: each reason, and which say or meet it."""
        found: dict[str, list[str]] = {}
        for name, answer in self.health.items():
            if answer is not None and answer.health.state is not State.READY:
                found.setdefault(answer.health.reason, []).append(name)
        return found


def routes(desk: Desk) -> APIRouter:
    """``/cofi/fleet`` and its live part."""
    router = APIRouter()
    known = services(desk.settings)
    key = desk.settings.llm_api_key
    watch = HealthWatch([one.question for one in known], key.get_secret_value() if key else None)

    @router.get("/cofi/fleet")
    def page(request: Request) -> Response:
        """The whole page."""
        return desk.show(request, "fleet.html", page="fleet", **context())

    @router.get("/cofi/fleet/live")
    def live(request: Request) -> Response:
        """Its live part."""
        return desk.live(request, "fleet_live.html", "fleet", context)

    def context() -> dict[str, Any]:
        with reading(desk.engine) as connection:
            work, over = at_work(connection), last_over(connection)
        answers, now = watch.answers(), watch.now()
        lines = [_line(machine, answers) for machine in machines(known, work)]
        names = {one.name for one in known}
        return {
            "lines": lines,
            "services": [name for name in SERVICES if name in names],
            "work": work,
            "over": over,
            "totals": _totals(lines),
            "oldest": max((answer.age(now) for answer in answers.values()), default=None),
        }

    return router


def _line(machine: Machine, answers: Mapping[Question, Answer]) -> Line:
    return Line(machine, {name: answers.get(question) for name, question in machine.services.items()})


def _totals(lines: Sequence[Line]) -> dict[str, float]:
    """The figures at the head of the page."""
    said = [answer for line in lines for answer in line.health.values()]
    rates = [line.machine.per_minute for line in lines]
    return {
        "machines": len(lines),
        "services": len(said),
        "asked": sum(answer is not None for answer in said),
        "ready": sum(answer is not None and answer.health.state is State.READY for answer in said),
        "in_flight": sum(line.machine.in_flight for line in lines),
        "per_minute": math.fsum(rate for rate in rates if rate is not None),
        "aside": sum(bool(line.machine.aside) for line in lines),
    }
