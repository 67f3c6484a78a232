"""COFI's parts as Dagster resources: the fleet's services, and the tracking of batches in COFI's own database."""

from functools import cached_property

import sqlalchemy as sa

from cofi_dagster.database.engine import connect
from cofi_dagster.database.upgrade import ready
from cofi_dagster.fleet.endpoints import Endpoint, endpoints
from cofi_dagster.pipeline.progress import Observer, Unwatched
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.pipeline.tracker import Tracker
from cofi_dagster.settings import Settings, current
from cofi_dagster.stages import Stage


class FleetResource:
    """The GPU machines: where each stage's service is, from COFI's settings (by default those of this process)."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def endpoints(self, stage: Stage) -> tuple[Endpoint, ...]:
        """The endpoints of the stage's service.

        Raises:
            NoFleet: none is configured.
        """
        return endpoints(self._settings or current(), stage)


class TrackingResource:
    """Times, statuses and results of batches in COFI's database. Opened at first use, once per process."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._observer: Observer = Unwatched()

    @cached_property
    def settings(self) -> Settings:
        """The settings; by default those of this process."""
        return self._settings or current()

    @cached_property
    def engine(self) -> sa.Engine:
        """The database, of this version.

        Raises:
            DatabaseError: it cannot be reached, or is too old.
        """
        engine = connect(self.settings)
        ready(engine)
        return engine

    @cached_property
    def tracker(self) -> Tracker:
        """The tracker on that database."""
        return Tracker(self.engine, self.settings)

    def watch(self, observer: Observer) -> None:
        """Tell ``observer`` of this process's stages as they go."""
        self._observer = observer

    def pipeline(self, fleet: FleetResource) -> Pipeline:
        """What runs stages."""
        return Pipeline(self.settings, self.engine, self.tracker, fleet.endpoints, self._observer)
