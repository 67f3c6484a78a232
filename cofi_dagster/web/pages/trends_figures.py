"""The figures of the page of trends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from markupsafe import Markup

from cofi_dagster.stages import BY_NAME
from cofi_dagster.web.pages.figures import BLUE, GREY, STAGE_COLOURS, figure
from cofi_dagster.web.pages.trends_measures import Part, Point, SizeClass, shown

_MARKED = 15
"""Longer lines have no markers: they would hide the lines."""
_DASHES = ("solid", "dash", "dot", "dashdot")
_WIDE = 30.0
"""Stages this many times apart are drawn on a logarithmic axis: on a plain one the quick ones are all zero."""
_TRANSPARENT = "rgba(0,0,0,0)"
_DATES = {"type": "date"}


def lines(series: Mapping[str, Sequence[Point]], unit: str) -> tuple[Markup, bool]:
    """A line per stage, and whether the axis is logarithmic."""
    values = [point.middle for points in series.values() for point in points if point.middle > 0]
    is_wide = bool(values) and max(values) > _WIDE * min(values)
    traces = [_line(name, points, place, unit) for place, (name, points) in enumerate(series.items())]
    axis = {"type": "log", "dtick": 1} if is_wide else {"rangemode": "tozero"}
    return figure(
        traces,
        showlegend=True,
        legend={"orientation": "v", "x": 1.01, "y": 1},
        hovermode="closest",
        xaxis=_DATES,
        yaxis={"title": {"text": unit}, "exponentformat": "none", **axis},
    ), is_wide


def _line(name: str, points: Sequence[Point], place: int, unit: str) -> go.Scatter:
    return go.Scatter(
        x=[point.at for point in points],
        y=[point.middle for point in points],
        name=BY_NAME[name].title,
        mode="lines+markers" if len(points) <= _MARKED else "lines",
        marker={"size": 5},
        line={"color": STAGE_COLOURS[name], "dash": _DASHES[place % len(_DASHES)], "width": 2},
        text=[_hover(point, unit) for point in points],
        hovertemplate="%{text}<extra>%{fullData.name}</extra>",
    )


def one_line(name: str, points: Sequence[Point], unit: str) -> Markup:
    """One stage: the line of its medians, and the band of the middle half of the batches around it."""
    at, colour = [point.at for point in points], STAGE_COLOURS[name]
    edges = {"mode": "lines", "line": {"width": 0, "color": colour}, "hoverinfo": "skip"}
    band = [
        go.Scatter(x=at, y=[point.high for point in points], **edges),
        go.Scatter(x=at, y=[point.low for point in points], fill="tonexty", fillcolor=_faint(colour), **edges),
    ]
    has_band = any(point.batches > 1 for point in points)
    axis = {"title": {"text": unit}, "rangemode": "tozero", "exponentformat": "none"}
    return figure([*(band if has_band else ()), _line(name, points, 0, unit)], xaxis=_DATES, yaxis=axis)


def _hover(point: Point, unit: str) -> str:
    text = f"{point.label}: {shown(point.middle)} {unit}"
    return text if point.batches == 1 else f"{text}<br>{point.batches} batches, {shown(point.low)}–{shown(point.high)}"


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def shares(found: Sequence[Part]) -> Markup:
    """Bars of the stages' mean times, the slowest at the top, each with its share."""
    bar = go.Bar(
        x=[part.mean / 60 for part in found],
        y=[part.stage.title for part in found],
        orientation="h",
        marker={"color": [STAGE_COLOURS[part.stage.name] for part in found]},
        text=[f"{part.share:.1f} %" for part in found],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.2f} minutes, %{text}<extra></extra>",
    )
    return figure(
        [bar],
        margin={"l": 170, "r": 60, "t": 10, "b": 40},
        xaxis={"title": {"text": "minutes a batch, mean"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "ticklen": 4, "tickcolor": _TRANSPARENT},
    )


def sizes(found: Sequence[SizeClass]) -> Markup:
    """Bars of the mean minutes of each class, with the shortest and the longest batch."""
    bar = go.Bar(
        x=[f"{one.label} files" for one in found],
        y=[one.mean for one in found],
        marker={"color": BLUE},
        width=0.5,
        error_y={
            "type": "data",
            "symmetric": False,
            "color": GREY,
            "array": [one.most - one.mean for one in found],
            "arrayminus": [one.mean - one.least for one in found],
        },
        hovertemplate="%{x}: %{y:.1f} minutes<extra></extra>",
    )
    return figure([bar], xaxis={"type": "category"}, yaxis={"title": {"text": "minutes"}, "rangemode": "tozero"})
