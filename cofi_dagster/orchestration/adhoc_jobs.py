"""The jobs of ad-hoc work: ``audit_upload`` and ``reaudit``, an op per stage. What they do is in ``adhoc``.

Both run in a lane of their own, one run at a time, and in no pool: they never wait behind a batch's stage. A run knows
its task by a tag, which a re-execution inherits; a run that a person launches makes its task from its config.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from pydantic import Field

from cofi_dagster.adhoc import reaudit, tasks, uploads
from cofi_dagster.adhoc.tasks import Task, TaskError, TaskKind, TaskStatus
from cofi_dagster.audit.questionnaire import DEFAULT_CATEGORY_MAPPING_ID, DEFAULT_PROCESS_ID
from cofi_dagster.database.engine import DatabaseError
from cofi_dagster.orchestration.launcher import is_dead, process_tags
from cofi_dagster.orchestration.page_links import say_page, task_page
from cofi_dagster.orchestration.resources import FleetResource, TrackingResource
from cofi_dagster.pipeline.batches import BatchError
from cofi_dagster.pipeline.progress import StageReport
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.pipeline.tracker import TERMINATED, BatchBusy, StageFailed, StageRefused
from cofi_dagster.stages import STAGES, Stage

TASK_TAG = "cofi/task"
"""Tag with the task's id."""
LOST_TAG = "cofi/lost"
"""Tag of a run that died, and whose task went on in another."""
LANE_TAG = "cofi/lane"
LANE = "adhoc"
"""One run of this lane at a time, by the run queue's limit: the seeds' lock."""
_TAGS = {LANE_TAG: LANE, "dagster/max_retries": "0", "dagster/priority": "10"}
_FORESEEN = (
    StageFailed, StageRefused, BatchError, DatabaseError, TaskError, uploads.UploadRefused, reaudit.RequestRefused,
)  # fmt: skip
_BEGIN, _FINISH = "reaudit_begin", "reaudit_finish"
_MOST_RESUMED = 2
"""Runs of a task that may die before it is not tried again: as many as of a batch."""
_UI = "the Dagster UI"
_ITS_PAGE = "[COFI: uploads and reaudits](/cofi/uploads). A run's log begins with the link to its task."
_UPLOAD = f"Audits uploaded files: one task, one batch.\n\n{_ITS_PAGE}"
_REAUDIT = (
    "Takes named calls through chosen stages again. A re-execution does what was left undone, or the chosen ops anew."
    f"\n\n{_ITS_PAGE}"
)


class UploadConfig(dg.Config):
    """What a person who launches an audit upload by hand says."""

    task_id: str | None = Field(None, description="A task that is queued or has failed. Empty: a new one of `files`.")
    files: list[str] = Field([], description="Paths of audio files on this machine; they are copied.")
    process_id: int = Field(DEFAULT_PROCESS_ID, description="Whose questionnaire is answered.")
    category_mapping_id: int = Field(DEFAULT_CATEGORY_MAPPING_ID, description="Which of its categories.")


class ReauditConfig(dg.Config):
    """What a person who launches a reaudit by hand says."""

    task_id: str | None = Field(None, description="A task that is queued or has failed. Empty: a new one as below.")
    audio_names: list[str] = Field([], description="The calls' audio names.")
    stages: list[str] = Field([], description="Of lid, stt, llm1, llm2; they are run in this order.")
    batch_id: int | None = Field(None, description="Only this batch's calls; empty: those of every batch.")


# -- what both share -------------------------------------------------------------------------------------------------


def _tags(context: dg.OpExecutionContext) -> dict[str, str]:
    run = context.instance.get_run_by_id(context.run_id)
    return dict(run.tags) if run is not None else {}


def _open_task(context: dg.OpExecutionContext, pipeline: Pipeline, make: Callable[[], str], given: str | None) -> Task:
    """The run's task, made this run's: the one of its tag, the one its config names, or a new one."""
    engine, tags = pipeline.engine, _tags(context)
    task_id = tags.get(TASK_TAG) or given or make()
    context.instance.add_run_tags(context.run_id, {TASK_TAG: task_id, **process_tags(context.run_id)})
    say_page(context.instance, context.run, f"task {task_id}", task_page(task_id))
    settle_if_dead(context.instance, pipeline, tasks.get(engine, task_id))
    return tasks.begin(engine, task_id, context.run_id, again=context.run.parent_run_id is not None)


def _begun(context: dg.OpExecutionContext, pipeline: Pipeline, make: Callable[[], str], given: str | None) -> Task:
    """The same, for the first op of a job: what a person can mend fails the run with its sentence."""
    try:
        return _open_task(context, pipeline, make, given)
    except _FORESEEN as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def settle_if_dead(instance: dg.DagsterInstance, pipeline: Pipeline, task: Task) -> bool:
    """See to a task whose run has ended without a word or whose process died; whether it was so.

    One whose run died is queued again, as the run retries of ``dagster.yaml`` do with a batch's, and goes on with what
    is not done. One that brings its runs down again and again, or whose run was marked as canceled, fails.
    """
    if task.status is not TaskStatus.PROCESSING or task.run_id is None:
        return False
    run = instance.get_run_by_id(task.run_id)
    if run is not None and not run.is_finished and not is_dead(run):
        return False
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, "The run's process died.")
    if tasks.get(pipeline.engine, task.id) != task:
        return False
    died = run is not None and run.status not in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS)
    if run is not None and died and _lost(instance, task) < _MOST_RESUMED:
        instance.add_run_tags(run.run_id, {LOST_TAG: "true"})
        tasks.put_back(pipeline.engine, task.id, f"its run {run.run_id} died before it was through; another goes on")
        return True
    how = "is not known" if run is None else "died" if died else f"ended as {run.status.value}"
    reason = f"its run {task.run_id} {how} before it was through; retry it"
    if task.kind is TaskKind.REAUDIT:
        reaudit.give_up(pipeline.engine, task, reason)
    else:
        tasks.fail(pipeline.engine, task.id, reason)
    return True


def _lost(instance: dg.DagsterInstance, task: Task) -> int:
    """How many runs of the task died so far."""
    return instance.get_runs_count(dg.RunsFilter(tags={TASK_TAG: task.id, LOST_TAG: "true"}))


@contextmanager
def _failing(pipeline: Pipeline, task: Task) -> Iterator[None]:
    """Whatever ends the run ends its task: with the reason, for the person who queued it."""
    try:
        yield
    except BatchBusy as busy:
        reaudit.put_back(pipeline, task, f"waits: {busy}")
        raise dg.Failure(f"{busy}; the task is queued again", task_page(task.id), allow_retries=False) from busy
    except _FORESEEN as error:
        _fail(pipeline, task, str(error))
        raise dg.Failure(str(error), task_page(task.id), allow_retries=False) from error
    except Exception as error:
        _fail(pipeline, task, f"{type(error).__name__}: {error}")
        raise
    except BaseException:
        _fail(pipeline, task, TERMINATED)
        raise


def _fail(pipeline: Pipeline, task: Task, error: str) -> None:
    if task.kind is TaskKind.REAUDIT:
        reaudit.close(pipeline, task, error)
    else:
        tasks.fail(pipeline.engine, task.id, error)


def _say(context: dg.OpExecutionContext, report: StageReport) -> None:
    context.log.info(
        "%s: %d of %d done, %d failed, %d skipped", report.stage.name, report.done, report.total, report.failed,
        report.skipped,
    )  # fmt: skip


def _stage_op(
    prefix: str, stage: Stage, work: Callable[[dg.OpExecutionContext, Pipeline, Stage], None]
) -> dg.OpDefinition:
    """The op of a stage in one of the jobs."""

    @dg.op(
        name=f"{prefix}_{stage.name}",
        ins={"start": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        description=stage.description,
        tags={"cofi/stage": stage.name},
    )
    def op(
        context: dg.OpExecutionContext,
        tracking: dg.ResourceParam[TrackingResource],
        fleet: dg.ResourceParam[FleetResource],
    ) -> None:
        work(context, tracking.pipeline(fleet), stage)

    return op


# -- audit upload ----------------------------------------------------------------------------------------------------


@dg.op(out=dg.Out(dg.Nothing), description="Takes the task, and makes the upload's batch.")
def upload_begin(
    context: dg.OpExecutionContext,
    config: UploadConfig,
    tracking: dg.ResourceParam[TrackingResource],
    fleet: dg.ResourceParam[FleetResource],
) -> None:
    """The first op of ``audit_upload``."""
    pipeline = tracking.pipeline(fleet)

    def make() -> str:
        with uploads.Upload(pipeline.settings) as upload:
            for path in config.files:
                upload.add(Path(path))
            return upload.queue(pipeline.engine, config.process_id, config.category_mapping_id, by=_UI)

    task = _begun(context, pipeline, make, config.task_id)
    with _failing(pipeline, task):
        batch_id = uploads.open_batch(pipeline.engine, pipeline.settings, task)
    context.log.info("task %s is batch %d", task.id, batch_id)


def _do_upload_stage(context: dg.OpExecutionContext, pipeline: Pipeline, stage: Stage) -> None:
    task = _upload_task(context, pipeline)
    with _failing(pipeline, task):
        assert task.batch_id is not None
        _say(context, pipeline.run_stage(task.batch_id, stage.name, context.run_id))
        if stage is UPLOAD_STAGES[-1]:
            tasks.complete(pipeline.engine, task.id)


def _upload_task(context: dg.OpExecutionContext, pipeline: Pipeline) -> Task:
    """The run's task; where this run begins in the middle, as a re-execution may, it is made its own."""
    task = tasks.get(pipeline.engine, _tags(context)[TASK_TAG])
    if task.run_id == context.run_id and task.status is TaskStatus.PROCESSING:
        return task
    return _open_task(context, pipeline, lambda: task.id, task.id)


UPLOAD_STAGES: tuple[Stage, ...] = tuple(stage for stage in STAGES if stage.in_upload)
_UPLOAD_OPS = [_stage_op("upload", stage, _do_upload_stage) for stage in UPLOAD_STAGES]


@dg.job(tags=_TAGS, executor_def=dg.in_process_executor, description=_UPLOAD)
def audit_upload() -> None:
    """The stages that an upload goes through, one after the other."""
    done = upload_begin()
    for op in _UPLOAD_OPS:
        done = op(start=done)


# -- reaudit ---------------------------------------------------------------------------------------------------------


@dg.op(name=_BEGIN, out=dg.Out(dg.Nothing), description="Takes the task, holds its batches, makes its calls ready.")
def reaudit_begin(
    context: dg.OpExecutionContext,
    config: ReauditConfig,
    tracking: dg.ResourceParam[TrackingResource],
    fleet: dg.ResourceParam[FleetResource],
) -> None:
    """The first op of ``reaudit``."""
    pipeline = tracking.pipeline(fleet)

    def make() -> str:
        request = reaudit.request_of(
            pipeline.engine, pipeline.settings, config.audio_names, config.stages, config.batch_id
        )
        return reaudit.queue(pipeline.engine, request, by=_UI)

    task = _begun(context, pipeline, make, config.task_id)
    _make_ready(context, pipeline, task)


def _make_ready(context: dg.OpExecutionContext, pipeline: Pipeline, task: Task) -> None:
    plan = _plan(context, task)
    with _failing(pipeline, task):
        ready = reaudit.begin(pipeline, task, context.run_id, plan, afresh=_is_afresh(context, plan))
    context.log.info("task %s: %d calls through %s", task.id, ready, ", ".join(plan))


def _plan(context: dg.OpExecutionContext, task: Task) -> list[str]:
    """The task's stages that this run does: all, or those whose ops were selected."""
    selected = context.run.step_keys_to_execute
    return [name for name in task.request["stages"] if selected is None or f"reaudit_{name}" in selected]


def _is_afresh(context: dg.OpExecutionContext, plan: list[str]) -> bool:
    """Whether a re-execution is asked for stages that had ended well: then they are done again for every call."""
    if context.run.parent_run_id is None:
        return False
    group = context.instance.get_run_group(context.run_id)
    steps = {f"reaudit_{name}" for name in plan}
    ended_well: set[str] = set()
    for run in group[1] if group else ():
        stats = context.instance.get_run_step_stats(run.run_id, sorted(steps)) if run.run_id != context.run_id else []
        ended_well |= {stat.step_key for stat in stats if stat.status is not None and stat.status.value == "SUCCESS"}
    return steps <= ended_well


def _do_reaudit_stage(context: dg.OpExecutionContext, pipeline: Pipeline, stage: Stage) -> None:
    task = tasks.get(pipeline.engine, _tags(context)[TASK_TAG])
    plan = _plan(context, task)
    if stage.name not in plan:
        context.log.info("the task does not ask for %s", stage.name)
        return
    selected = context.run.step_keys_to_execute
    if selected is not None and _BEGIN not in selected and stage.name == plan[0]:
        task = _open_task(context, pipeline, lambda: task.id, task.id)
        _make_ready(context, pipeline, task)
    with _failing(pipeline, task):
        for report in reaudit.run_stage(pipeline, task, context.run_id, stage.name, plan):
            _say(context, report)
        if selected is not None and _FINISH not in selected and stage.name == plan[-1]:
            reaudit.finish(pipeline, task)


_REAUDIT_OPS = [_stage_op("reaudit", stage, _do_reaudit_stage) for stage in STAGES if stage.in_reaudit]


@dg.op(name=_FINISH, ins={"start": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing), description="Ends the task.")
def reaudit_finish(
    context: dg.OpExecutionContext,
    tracking: dg.ResourceParam[TrackingResource],
    fleet: dg.ResourceParam[FleetResource],
) -> None:
    """The last op of ``reaudit``."""
    pipeline = tracking.pipeline(fleet)
    task = tasks.get(pipeline.engine, _tags(context)[TASK_TAG])
    if task.status is TaskStatus.PROCESSING:
        with _failing(pipeline, task):
            reaudit.finish(pipeline, task)
            ended = tasks.get(pipeline.engine, task.id)
    else:
        ended = task
    if ended.status is TaskStatus.FAILED:
        raise dg.Failure(ended.error or "the reaudit failed", task_page(task.id), allow_retries=False)


@dg.job(
    name="reaudit",
    tags=_TAGS,
    executor_def=dg.in_process_executor,
    description=_REAUDIT,
)
def reaudit_job() -> None:
    """Begin, the stages in pipeline order, finish."""
    done = reaudit_begin()
    for op in _REAUDIT_OPS:
        done = op(start=done)
    reaudit_finish(start=done)
