from __future__ import annotations

import itertools

import numpy as np
import pytest

from cofi_dagster.node.engines import Audio, IvrSegment
from cofi_dagster.node.ivr import find_segments
from cofi_dagster_tests.node.signals import (
    CLIENT,
    PROMPT,
    RATE,
    american_ring,
    conversation,
    indian_ring,
    keys,
    music,
    noise,
    said,
    silence,
    tone,
    with_noise,
)


def segments(*parts: np.ndarray) -> list[IvrSegment]:
    samples = np.concatenate(parts).astype(np.float32)
    found = find_segments(Audio(samples, RATE))
    assert all(0 <= s.start < s.end <= len(samples) / RATE for s in found)
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))
    return found


def spans(found: list[IvrSegment], kind: str) -> list[tuple[float, float]]:
    return [(s.start, s.end) for s in found if s.kind == kind]


def seconds(samples: np.ndarray) -> float:
    return len(samples) / RATE


@pytest.mark.parametrize("pause", [0.4, 1.5])
@pytest.mark.parametrize("hiss", [0.0, 0.005, 0.02, 0.05])
def test_plain_talk_has_no_segments(pause: float, hiss: float) -> None:
    assert segments(with_noise(conversation(pause), hiss)) == []


@pytest.mark.parametrize("hiss", [0.0, 0.01])
@pytest.mark.parametrize(
    ("ring", "until"),
    [(indian_ring(3), 7.0), (indian_ring(3, beat=True), 7.0), (american_ring(2), 8.0), (tone(2.0, 425), 2.0)],
    ids=["400 Hz", "400 Hz with its beat", "440+480 Hz", "one long 425 Hz"],
)
def test_ringing_before_the_talk_is_found_and_nothing_of_the_talk(ring: np.ndarray, until: float, hiss: float) -> None:
    found = segments(with_noise(np.concatenate([ring, conversation()]), hiss))
    assert spans(found, "ring") == [(pytest.approx(0.0, abs=0.1), pytest.approx(until, abs=0.15))]
    assert all(s.end <= seconds(ring) + 0.1 for s in found)


def test_ringing_within_a_call_marks_the_ringing_alone() -> None:
    talk = conversation()
    found = segments(talk, indian_ring(2), talk)
    assert [s.kind for s in found] == ["ring"]
    assert spans(found, "ring") == [(pytest.approx(seconds(talk), abs=0.1), pytest.approx(seconds(talk) + 4, abs=0.1))]


def test_a_prompt_with_its_key_and_ringing_ends_where_the_talk_begins() -> None:
    lead = np.concatenate([silence(0.5), said(PROMPT), silence(1), keys("1"), silence(0.5), indian_ring(2)])
    found = segments(lead, conversation())
    assert [s.kind for s in found] == ["ivr", "ring"]
    assert found[0].start == 0.0
    assert found[-1].end == pytest.approx(seconds(lead) - 2.0, abs=0.1)


def test_a_prompt_that_no_tone_follows_is_left_in_the_talk() -> None:
    assert segments(said(PROMPT), silence(0.5), conversation()) == []


def test_two_people_before_a_transfer_are_not_a_prompt() -> None:
    early = np.concatenate([said("Please hold the line."), silence(0.3), said("Yes, I am waiting, thank you.", CLIENT)])
    found = segments(early, silence(0.5), indian_ring(2), conversation())
    assert [s.kind for s in found] == ["ring"]


def test_two_talking_channels_are_not_a_prompt() -> None:
    dealer = np.concatenate([said("Please hold the line."), silence(2.5), indian_ring(2)])
    client = np.concatenate([silence(2), said("Yes, I am waiting."), silence(20)])[: len(dealer)]
    call = Audio(((dealer + client) / 2).astype(np.float32), RATE, (dealer, client))
    assert [s.kind for s in find_segments(call)] == ["ring"]


def test_keys_pressed_in_the_talk_are_marked_by_themselves() -> None:
    talk = conversation()
    pressed = keys("159#")
    found = segments(talk, pressed, talk)
    assert [s.kind for s in found] == ["ivr"]
    assert (found[0].start, found[0].end) == (
        pytest.approx(seconds(talk), abs=0.1),
        pytest.approx(seconds(talk) + seconds(pressed), abs=0.15),
    )


def test_music_on_hold_is_found_between_two_talks() -> None:
    talk = conversation()
    found = segments(talk, music(15), talk)
    assert [s.kind for s in found] == ["hold"]
    assert found[0].start >= seconds(talk) - 0.5
    assert found[0].end <= seconds(talk) + 15.5
    assert found[0].end - found[0].start > 10


@pytest.mark.parametrize("hiss", [0.0, 0.002, 0.01])
def test_silence_between_two_talks_is_found(hiss: float) -> None:
    talk = conversation()
    found = segments(with_noise(np.concatenate([talk, silence(5), talk]), hiss))
    assert [s.kind for s in found] == ["silence"]
    assert (found[0].start, found[0].end) == (
        pytest.approx(seconds(talk), abs=0.6),
        pytest.approx(seconds(talk) + 5, abs=0.3),
    )


@pytest.mark.parametrize("quiet", [silence(10), noise(10, 0.01)], ids=["digital", "hiss"])
def test_a_call_without_a_word_is_silence_throughout(quiet: np.ndarray) -> None:
    found = segments(quiet)
    assert [s.kind for s in found] == ["silence"]
    assert found[0].end - found[0].start > 9.5


def test_a_few_milliseconds_of_sound_are_no_trouble() -> None:
    assert segments(tone(0.01, 400)) == []


def test_an_hour_is_looked_through_in_a_few_seconds() -> None:
    import time

    talk = np.tile(conversation(), 120)
    begun = time.process_time()
    assert segments(talk) == []
    assert time.process_time() - begun < 20
