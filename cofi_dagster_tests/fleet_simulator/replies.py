"""The bodies of the audio services' replies, encoded by hand because a batch asks for them by the ten thousand."""

from __future__ import annotations

from functools import lru_cache

import orjson

from cofi_dagster_tests.fleet_simulator.calls import Call, Trade

GREETING = "This is call "
"""The first segment says the file's name after these words: so a transcript, and whoever quotes it, can be traced."""

_PHRASES = (
    ("agent", "Good morning, how may I help you?"),
    ("client", "Yes, please go ahead."),
    ("agent", "Confirmed, thank you."),
    ("client", "What is the market doing today?"),
    ("agent", "It is trading a little higher than yesterday."),
)


def spoken(trade: Trade) -> str:
    """The client's words for an order."""
    return f"{trade.side.title()} {trade.quantity} shares of {trade.symbol} at {trade.price} rupees."


def json_text(value: str) -> bytes:
    """A string as JSON, without its quotation marks; an undecodable name's bytes are replaced."""
    return orjson.dumps(value.encode("utf-8", "replace").decode())[1:-1]


def _number(value: float) -> bytes:
    return orjson.dumps(round(value, 3))


def denoise(call: Call) -> bytes:
    return b'{"file":"%b","audio_duration":%b}' % (json_text(call.file), _number(call.duration))


def ivr(call: Call) -> bytes:
    end = min(4.0, call.duration)
    return b'{"file":"%b","audio_duration":%b,"segments":[{"kind":"ivr","start":0.0,"end":%b}]}' % (
        json_text(call.file),
        _number(call.duration),
        _number(end),
    )


def lid(call: Call) -> bytes:
    return b'{"file":"%b","language":"%b","confidence":0.93,"audio_duration":%b}' % (
        json_text(call.file),
        json_text(call.language),
        _number(call.duration),
    )


def _segment(number: int, total: int, duration: float, speaker: str, text: bytes) -> bytes:
    step = duration / total
    return b'{"id":%d,"start":%b,"end":%b,"text":"%b","speaker":"%b","avg_logprob":-0.3,"no_speech_prob":0.01}' % (
        number,
        _number(number * step),
        _number((number + 1) * step),
        text,
        speaker.encode(),
    )


@lru_cache(maxsize=4096)
def _rest(first: int, total: int, duration: float) -> tuple[bytes, bytes]:
    """The segments from ``first`` on, which are the same in all calls of one length, and their text."""
    lines = [(k, *_PHRASES[k % len(_PHRASES)]) for k in range(first, total)]
    segments = b",".join(_segment(k, total, duration, who, json_text(text)) for k, who, text in lines)
    return segments, json_text(" ".join(text for _, _, text in lines))


def _own_lines(call: Call) -> list[tuple[str, bytes]]:
    lines = [("agent", json_text(f"{GREETING}{call.file}."))]
    lines += [("client", json_text(spoken(trade))) for trade in call.trades]
    return lines[: call.segments]


def stt(call: Call, *, duration_as_string: bool = False, with_segments: bool = True) -> bytes:
    """OpenAI's ``verbose_json``; as vLLM says it with the length as a string and ``segments`` null."""
    own = _own_lines(call)
    total = call.segments
    segments = [_segment(k, total, call.duration, who, text) for k, (who, text) in enumerate(own)]
    texts = [text for _, text in own]
    if total > len(own):
        more, more_text = _rest(len(own), total, call.duration)
        segments.append(more)
        texts.append(more_text)
    return b'{"task":"transcribe","language":"%b","duration":%b,"text":"%b","segments":%b}' % (
        json_text(call.language),
        b'"%b"' % _number(call.duration) if duration_as_string else _number(call.duration),
        b" ".join(texts),
        b"[%b]" % b",".join(segments) if with_segments else b"null",
    )


AUDIO = {"denoise": denoise, "ivr": ivr, "lid": lid, "stt": stt}
