"""What a simulated call is (language, length, trades), all of it from the file's name. No HTTP, no JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from statistics import NormalDist

SYMBOLS = (
    "RELIANCE", "TCS", "INFY", "HDFCBANK", "ICICIBANK", "SBIN", "ITC", "LT",
    "AXISBANK", "MARUTI", "TITAN", "WIPRO", "ONGC", "NTPC", "CIPLA", "DABUR",
)  # fmt: skip
"""Exchange symbols that are spoken of; whole numbers of rupees and shares, so that no rounding stands in the way."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Trade:
    """An order that is spoken of in a call. ``side`` is BUY or SELL, ``price`` in whole rupees."""

    symbol: str
    side: str
    quantity: int
    price: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``duration`` in seconds; ``segments`` is how many its transcript has."""

    file: str
    language: str
    duration: float
    segments: int
    trades: tuple[Trade, ...]


def draw(file: str, what: str) -> float:
    """A number in (0, 1) that depends on the file's name and on what it is drawn for, and on nothing else."""
    digest = blake2b(file.encode("utf-8", "surrogateescape"), digest_size=7, person=what.encode()[:16]).digest()
    return (int.from_bytes(digest) + 0.5) / 2**56


def trades_of(file: str) -> tuple[Trade, ...]:
    """The one to three orders that are spoken of in the call of that name, each of another symbol."""
    first = int(draw(file, "symbol") * len(SYMBOLS))
    return tuple(
        Trade(
            symbol=SYMBOLS[(first + 5 * k) % len(SYMBOLS)],
            side="BUY" if draw(file, f"side{k}") < 0.5 else "SELL",
            quantity=5 * (1 + int(draw(file, f"quantity{k}") * 200)),
            price=100 + int(draw(file, f"price{k}") * 3000),
        )
        for k in range(1 + int(draw(file, "trades") * 3))
    )


Distribution = Callable[[str, str], float]
"""(file, what) as a number of seconds."""


def distribution(text: str) -> Distribution:
    """Read ``0.02``, ``uniform:LOW:HIGH`` or ``lognormal:MEAN:SIGMA`` (sigma of the logarithm), in seconds.

    Raises:
        ValueError: the text is none of these.
    """
    kind, *numbers = text.split(":")
    values = [float(number) for number in numbers]
    if kind == "uniform" and len(values) == 2:
        low, high = values
        return lambda file, what: low + (high - low) * draw(file, what)
    if kind == "lognormal" and len(values) == 2 and values[0] > 0:
        mean, sigma = values
        mu = math.log(mean) - sigma * sigma / 2
        return lambda file, what: math.exp(mu + sigma * _NORMAL.inv_cdf(draw(file, what)))
    if not values:
        constant = float(kind)
        return lambda file, what: constant
    raise ValueError(f"'{text}' is none of SECONDS, uniform:LOW:HIGH, lognormal:MEAN:SIGMA")


def length(durations: Distribution, file: str) -> float:
    """The length of a call: whole seconds, so that the times of its segments are those of many other calls."""
    return max(1.0, float(round(durations(file, "duration"))))


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a service takes over a call: a draw by file name, or so many seconds per second of audio."""

    seconds: Distribution
    per_second: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Latency | None:
        """``per-second:0.01`` or a :func:`distribution`; None where it is always zero."""
        kind, _, rate = text.partition(":")
        if kind == "per-second":
            return cls(lambda file, what: 0.0, float(rate))
        if rate == "" and float(kind) == 0:
            return None
        return cls(distribution(text))

    def of(self, call: Call, service: str) -> float:
        """Seconds at speed 1."""
        return self.seconds(call.file, service) + self.per_second * call.duration
