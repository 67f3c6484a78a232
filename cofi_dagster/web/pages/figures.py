"""Figures for the pages: made with Plotly in Python, written as JSON into the page, drawn there by the same package's
script. Only what all figures share; which figures a page has is the page's.

Colours of text and grid come from the style sheet, in light and dark; those of data are here, and readable on both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.basedatatypes import BaseTraceType

from cofi_dagster.stages import NAMES

BLUE, GREEN, AMBER, RED, GREY = "#3f74e0", "#2f9e63", "#d08a12", "#d64550", "#8a94a3"
_PALETTE = (
    "#3f74e0", "#2f9e63", "#d08a12", "#8f5bd6", "#d64550", "#1a9aa8", "#b5651d", "#c04fa0", "#6b8e23", "#5b6b8c",
    "#e07b5a",
)  # fmt: skip
STAGE_COLOURS: dict[str, str] = {name: _PALETTE[place % len(_PALETTE)] for place, name in enumerate(NAMES)}
"""A colour for each stage, the same on every page."""


def figure(traces: Sequence[BaseTraceType], **layout: Any) -> Markup:
    """A figure as the JSON that the page's script draws; ``layout`` adds to what all figures have.

    Raises:
        ValueError: Plotly knows no such property.
    """
    shared: dict[str, Any] = {
        "template": "none",
        "margin": {"l": 60, "r": 20, "t": 10, "b": 40},
        "showlegend": False,
        "hoverlabel": {"namelength": -1},
    }
    made = go.Figure(data=list(traces), layout={**shared, **layout})
    return _safe(made.to_plotly_json())


def local(value: datetime, zone: ZoneInfo) -> datetime:
    """A time of the database's (UTC without zone) as an axis in this zone takes it: local, without zone."""
    return value.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)


def _safe(figure_json: Mapping[str, Any]) -> Markup:
    """JSON that cannot end the script element that it stands in."""
    text = orjson.dumps(figure_json, option=orjson.OPT_SERIALIZE_NUMPY, default=str).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
