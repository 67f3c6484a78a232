"""Where a stage's service is: one endpoint per machine, or per LLM server."""

from __future__ import annotations

from dataclasses import dataclass

from cofi_dagster.settings import Settings
from cofi_dagster.stages import Stage


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place that can do a stage's work.

    Attributes:
        name: the machine as ``GPU_MACHINES`` writes it, or the base URL of an LLM server.
        base: what request paths are appended to.
        files: base URL of the machine's files service, or None where the work needs no file there.
        health: URLs to ask for health, the first that exists counts.
    """

    name: str
    base: str
    files: str | None
    health: tuple[str, ...]


class NoFleet(RuntimeError):
    """No machine is configured for a stage's service; the message says what to set."""


def endpoints(settings: Settings, stage: Stage) -> tuple[Endpoint, ...]:
    """The endpoints of a stage's service.

    Raises:
        NoFleet: none is configured.
    """
    urls = {"llm1": settings.llm1_api_url, "llm2": settings.llm2_api_url}.get(stage.name, ())
    if urls:
        return tuple(_llm(url.rstrip("/")) for url in urls)
    if not settings.gpu_machines:
        raise NoFleet("no GPU machine is configured: set GPU_MACHINES, or start one here with `cofi node`")
    service = stage.service or ""
    return tuple(_machine(settings, name, service, stage) for name in settings.gpu_machines)


def _llm(base: str) -> Endpoint:
    root = base.removesuffix("/v1")
    return Endpoint(base, base, None, (f"{root}/health", f"{base}/models"))


def _machine(settings: Settings, name: str, service: str, stage: Stage) -> Endpoint:
    host = f"[{name}]" if ":" in name else name
    root = f"http://{host}:{settings.port(service)}"
    if service == "llm":
        return Endpoint(name, f"{root}/v1", None, (f"{root}/health", f"{root}/v1/models"))
    if stage.name == "stt" and settings.stt_protocol == "openai":
        return Endpoint(name, root, None, (f"{root}/health", f"{root}/v1/models"))
    return Endpoint(name, root, f"http://{host}:{settings.files_port}", (f"{root}/health",))
