"""The figures of the page of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import plotly.graph_objects as go
from markupsafe import Markup

from cofi_dagster.pipeline.standing import StageState, Standing
from cofi_dagster.stages import BY_NAME
from cofi_dagster.web.pages.figures import STAGE_COLOURS, figure, local
from cofi_dagster.web.pages.words import duration

_LEFT = {"l": 170, "r": 20, "t": 6, "b": 34}


def seconds_of(state: StageState, now: datetime) -> float | None:
    """How long a stage took, or has taken so far."""
    if state.started is None:
        return None
    return max(0.0, float(((state.ended or now) - state.started).total_seconds()))


def timeline(found: Standing, shown: Sequence[StageState], zone: ZoneInfo) -> Markup:
    """When each stage ran: a bar each, time on x. A stage at work reaches to now, and is hatched."""
    begun = [(state, seconds) for state in shown if (seconds := seconds_of(state, found.now)) is not None]
    bars = go.Bar(
        orientation="h",
        base=[local(state.started, zone) for state, _ in begun],
        x=[1000 * max(seconds, 0.001) for _, seconds in begun],
        y=[state.stage.title for state, _ in begun],
        marker={
            "color": [STAGE_COLOURS[state.stage.name] for state, _ in begun],
            "pattern": {"shape": ["" if state.ended else "/" for state, _ in begun]},
        },
        customdata=[[duration(seconds), state.status] for state, seconds in begun],
        hovertemplate="%{y}: %{customdata[0]} (%{customdata[1]})<extra></extra>",
    )
    titles = [state.stage.title for state in shown]
    return figure(
        [bars],
        margin=_LEFT,
        bargap=0.35,
        xaxis={"type": "date"},
        yaxis={"autorange": "reversed", "categoryorder": "array", "categoryarray": titles},
    )


def shares(found: Standing, shown: Sequence[StageState]) -> Markup:
    """What share of the time of all stages each took."""
    took = [(state, seconds) for state in shown if (seconds := seconds_of(state, found.now))]
    ring = go.Pie(
        labels=[state.stage.title for state, _ in took],
        values=[seconds for _, seconds in took],
        text=[duration(seconds) for _, seconds in took],
        marker={"colors": [STAGE_COLOURS[state.stage.name] for state, _ in took]},
        hole=0.55,
        sort=False,
        direction="clockwise",
        textinfo="percent",
        textposition="inside",
        hovertemplate="%{label}: %{text}, %{percent}<extra></extra>",
    )
    return figure([ring], margin={"l": 10, "r": 10, "t": 6, "b": 6}, showlegend=True, legend={"font": {"size": 11}})


def rate(rates: Mapping[str, Sequence[tuple[datetime, float]]], zone: ZoneInfo) -> Markup:
    """Files per second over time, a line for each stage."""
    lines = [
        go.Scatter(
            x=[local(at, zone) for at, _ in points],
            y=[round(value, 3) for _, value in points],
            name=BY_NAME[stage].title,
            mode="lines+markers" if len(points) < 3 else "lines",
            line={"color": STAGE_COLOURS[stage]},
            hovertemplate="%{y:.3g} files a second<extra>%{fullData.name}</extra>",
        )
        for stage, points in rates.items()
    ]
    return figure(
        lines,
        margin={"l": 50, "r": 10, "t": 6, "b": 34},
        showlegend=True,
        legend={"orientation": "h", "y": 1.18, "font": {"size": 11}},
        xaxis={"type": "date"},
        yaxis={"rangemode": "tozero", "title": {"text": "files a second"}},
    )
