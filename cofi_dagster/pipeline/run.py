"""Running one stage of one batch: the single way in, for Dagster's assets, ad-hoc runs and tests alike."""

from __future__ import annotations

import asyncio
import gc
import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import uvloop

from cofi_dagster.database.engine import DatabaseError, explain
from cofi_dagster.database.transactions import inquire
from cofi_dagster.fleet.client import FleetClient
from cofi_dagster.fleet.endpoints import Endpoint, NoFleet
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.batches import Batch, BatchError
from cofi_dagster.pipeline.csv_import import CsvError
from cofi_dagster.pipeline.dispatch import Dispatch, FleetDown, Limits, Stop, Summary
from cofi_dagster.pipeline.pace import Pace
from cofi_dagster.pipeline.progress import Observer, StageReport, Tally, Unwatched
from cofi_dagster.pipeline.requests import Wish
from cofi_dagster.pipeline.scope import Scope
from cofi_dagster.pipeline.sink import Sink, SinkError, SinkSettings
from cofi_dagster.pipeline.status import StageStatus
from cofi_dagster.pipeline.tracker import BatchBusy, StageCancelled, StageFailed, StagePaused, StageRun, Tracker
from cofi_dagster.pipeline.work import FileStage
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME, Kind, Stage

_ABORT_SECONDS = 5.0


class AllFailed(RuntimeError):
    """Not one file of a stage could be processed; the message has the count and the commonest reason."""


_FAULTS = (BatchError, CsvError, NoFleet, FleetDown, SinkError, DatabaseError, AllFailed)


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage module gets: the settings, the database and its batch; in a reaudit, which calls to do."""

    settings: Settings
    engine: sa.Engine
    batch: Batch
    stage: Stage
    scope: Scope | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Everything that runs stages: settings, database, tracker, where services are, and who watches the progress."""

    settings: Settings
    engine: sa.Engine
    tracker: Tracker
    endpoints: Callable[[Stage], Sequence[Endpoint]]
    observer: Observer = field(default_factory=Unwatched)

    def batch(self, batch_id: int) -> Batch:
        """The batch with this id.

        Raises:
            BatchError: there is none.
        """
        return batches.by_id(self.engine, batch_id, self.settings.batches)

    def run_stage(self, batch_id: int, stage_name: str, run_id: str) -> StageReport:
        """Run a stage of a batch to its end; only what is pending is done.

        Raises:
            StageFailed: the stage ended as ``Failed``; the message is for the operator.
            BatchBusy: another run is at work on the batch.
            StageRefused: the stage's prerequisites are not met.
            StagePaused: a person paused the batch, and it is so now.
            StageCancelled: a person cancelled the batch.
        """
        stage = BY_NAME[stage_name]
        self.observer.began(stage)
        report = self._run(batch_id, stage, run_id)
        self.tracker.complete_batch(batch_id)
        self.observer.ended(report)
        return report

    def redo_stage(self, batch_id: int, stage_name: str, scope: Scope) -> StageReport:
        """Do a stage for the calls of a reaudit's scope, and no others; ``batchStatus`` is not touched.

        The caller holds the batch. How each call ended is in the report's counts and in the task's calls.

        Raises:
            StageFailed: the stage could not go on; the calls that it did not reach are as they were.
        """
        stage = BY_NAME[stage_name]
        context = StageContext(self.settings, self.engine, self.batch(batch_id), stage, scope)
        run = StageRun(batch_id, stage)
        with self._explained(context):
            _drive(self, context, run, _module(stage).make(context))
        report = StageReport(stage)
        _fill(report, run)
        return report

    def _run(self, batch_id: int, stage: Stage, run_id: str) -> StageReport:
        if not self.settings.is_enabled(stage):
            self.tracker.skip_stage(batch_id, stage.name)
            return StageReport(stage, disabled=True)
        skipped = self.tracker.stages(batch_id)[stage.name].skip_reason
        if skipped is not None:
            return StageReport(stage, disabled=True, metadata={"skipped": skipped})
        context = StageContext(self.settings, self.engine, self.batch(batch_id), stage)
        if self._is_settled(context):
            return StageReport(stage, total=context.batch.total_files, unchanged=True)
        report = StageReport(stage)
        with self._explained(context), self.tracker.stage(batch_id, stage.name, run_id) as run:
            self._work(context, run)
            _fill(report, run)
        report.seconds = self.tracker.get_stage_duration(batch_id, stage.name)
        return report

    @contextmanager
    def _explained(self, context: StageContext) -> Iterator[None]:
        """Turn the faults that a stage may meet into one sentence that names stage and batch."""
        where = f"{context.stage.name} of batch {context.batch.key}"
        try:
            yield
        except _FAULTS as error:
            raise StageFailed(f"{where}: {error}") from error
        except sa.exc.DBAPIError as error:
            raise StageFailed(f"{where}: {explain(error, self.engine.url)}") from error

    def _is_settled(self, context: StageContext) -> bool:
        """Whether the stage is complete and has nothing left to do, so that its times stay as they are."""
        stage = context.stage
        states = self.tracker.stages(context.batch.id)
        mine = states[stage.name]
        if mine.status is not StageStatus.COMPLETE:
            return False
        if stage.recompute:
            before = [states[name].ended for name in stage.prerequisites]
            return all(ended is None or mine.ended is None or ended <= mine.ended for ended in before)
        if stage.kind is Kind.TABLE:
            return True
        plan = inquire(self.engine, _module(stage).make(context).plan)
        return not plan.works and not plan.decided

    def _work(self, context: StageContext, run: StageRun) -> None:
        module = _module(context.stage)
        if context.stage.kind is Kind.TABLE:
            module.run(context, run, self.tracker)
            return
        file_stage: FileStage = module.make(context)
        tally = _drive(self, context, run, file_stage)
        if tally.failed and not tally.done:
            reason, count = tally.reasons.most_common(1)[0]
            raise AllFailed(f"all {tally.failed} files failed, {count} of them with: {reason}")


def _module(stage: Stage) -> Any:
    """The stage's module: ``make(context)`` for a stage of files, ``run(context, run, tracker)`` for one of tables."""
    return importlib.import_module(f"cofi_dagster.pipeline.stage_{stage.name}")


def _fill(report: StageReport, run: StageRun) -> None:
    report.total, report.done, report.failed, report.skipped = run.total, run.done, run.failed, run.skipped
    report.sent = int(run.metadata.get("sent", 0))
    report.metadata = dict(run.metadata)


def _drive(pipeline: Pipeline, context: StageContext, run: StageRun, file_stage: FileStage) -> Tally:
    """Send a stage's pending files over the fleet and commit what comes back; how many ended how."""
    settings = context.settings
    plan = inquire(context.engine, file_stage.plan)
    if context.scope is None:
        pipeline.tracker.set_total(run, plan.total)
    tally = Tally(plan.total, done=plan.done, skipped=plan.skipped, sent=len(plan.works))
    places = pipeline.endpoints(context.stage) if plan.works else ()
    sink_settings = SinkSettings(
        settings.commit_files,
        settings.commit_seconds,
        settings.progress_update_interval,
        settings.log_file_start_events,
    )
    stop = Stop()
    pace = Pace([work.weight for work in plan.works])
    run.watch(tally, pace, {Wish.PAUSE: stop.drain, Wish.CANCEL: stop.abort})

    async def dispatch(sink: Sink) -> Summary:
        limits = Limits(settings.concurrency_per_machine, settings.max_attempts, settings.fleet_wait_seconds)
        key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else None
        async with FleetClient(connections_per_machine=limits.concurrency, api_key=key) as client:
            work = Dispatch(
                file_stage,
                plan.works,
                places,
                client=client,
                sink=sink,
                stop=stop,
                limits=limits,
                batch_id=context.batch.id,
                path_of=context.batch.path_of,
                pace=pace,
            )
            try:
                await work.run()
            finally:
                run.metadata["machines"] = work.summary.machines
                if work.summary.set_aside:
                    run.metadata["setAside"] = work.summary.set_aside
            return work.summary

    try:
        with Sink(
            context.engine,
            context.stage,
            context.batch.id,
            tally,
            sink_settings,
            observer=pipeline.observer,
            scope=context.scope,
        ) as sink:
            for outcome in plan.decided:
                sink.put(outcome)
            if plan.works:
                with _without_collecting_the_past():
                    _in_own_thread(lambda: dispatch(sink), stop)
    finally:
        run.done, run.failed, run.skipped = tally.done, tally.failed, tally.skipped
        run.metadata["sent"] = tally.sent
        if tally.reasons:
            run.metadata["reasons"] = dict(tally.reasons.most_common(5))
    if run.asked is not None and tally.ended < tally.total:
        _stopped(context, run)
    return tally


def _stopped(context: StageContext, run: StageRun) -> None:
    """The dispatch stopped before its end, because it was asked to."""
    what = f"{context.stage.name} of batch {context.batch.key}"
    if run.taken:
        raise BatchBusy(f"{what} was taken over by another run: this one had given no sign of life")
    if run.asked is Wish.PAUSE:
        raise StagePaused(f"{what} is paused: {run.done} of {run.total} are done, nothing is in flight")
    raise StageCancelled(f"{what} is cancelled")


@contextmanager
def _without_collecting_the_past() -> Iterator[None]:
    """Keep the garbage collector from what was there before the dispatch: the stage's works, and all of Dagster.

    One look at all of it stops every request for a tenth of a second and more; they live until the stage's end anyway.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _in_own_thread(main: Callable[[], Any], stop: Stop) -> None:
    """Run an event loop in a thread of its own while this one waits for it.

    A termination signal raises in the main thread, and nowhere else: an exception out of the blue inside a running
    event loop can be swallowed by a callback. Here it ends the wait, the loop is told to abort, and it goes on.
    """
    failure: list[BaseException] = []

    def loop() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failure.append(error)

    thread = threading.Thread(target=loop, name="cofi-dispatch", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        stop.abort()
        thread.join(_ABORT_SECONDS)
        raise
    if failure:
        raise failure[0]
