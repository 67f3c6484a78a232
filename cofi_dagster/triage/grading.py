"""How triaging grades a mapping: the tiers and the scores that they give, the verdicts, and which score is low.

Words and numbers only, for whoever shows them too; no data frames here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cofi_dagster.triage.order_book import Key


@dataclass(frozen=True, slots=True)
class Tier:
    """A way to find calls for an order. The score falls linearly from ``best`` (no gap) to ``worst`` (the whole reach).

    The reach is the window, or 24 hours for a tier that takes the whole day.
    """

    name: str
    keys: tuple[Key, ...]
    in_window: bool
    best: float
    worst: float
    is_evidence: bool

    def reach(self, window: timedelta) -> timedelta:
        """How long before the order a call may have begun."""
        return window if self.in_window else timedelta(days=1)


TIERS = (
    Tier("client_window", ("client",), in_window=True, best=1.0, worst=0.7, is_evidence=True),
    Tier("phone_window", ("phone",), in_window=True, best=0.8, worst=0.5, is_evidence=True),
    Tier("weak_same_day", ("client", "phone"), in_window=False, best=0.3, worst=0.1, is_evidence=False),
)
WEAK_TIERS = tuple(tier.name for tier in TIERS if not tier.is_evidence)
"""Tiers that never are evidence by themselves."""
CONTENT_SAME_DAY = "content_same_day"
"""The tier of a call outside the window whose words alone make it evidence."""

CONTENT_SHARE = 0.75
"""How much of step 2's score is what was said; the rest is the tier's score of step 1."""

_EDGE = min(tier.worst for tier in TIERS if tier.is_evidence)
LOW_SCORE = CONTENT_SHARE + (1 - CONTENT_SHARE) * _EDGE
"""A confirmed trade's score is low below this: what a call at the far edge of the weakest tier that is evidence gets
where every word agrees (0.875). It is lower because the call was outside the window, or less than all was said."""

CONFIRMED = "confirmed"
WRONG_QUANTITY = "wrong_quantity"
WRONG_SIDE = "wrong_side"
PRICE_OUTSIDE = "price_outside"
NOT_DISCUSSED = "not_discussed"
DISCREPANCIES = (WRONG_QUANTITY, WRONG_SIDE, PRICE_OUTSIDE, NOT_DISCUSSED)
"""Verdicts that say what is wrong with a trade."""
