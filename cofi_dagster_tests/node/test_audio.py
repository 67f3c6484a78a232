from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cofi_dagster.node.audio import CorruptAudio, TooLongAudio, UnsupportedAudio, decode, with_speakers
from cofi_dagster.node.engines import Audio
from cofi_dagster_tests.node.signals import CLIENT, FORMATS, RATE, encode, said, silence, tone

SPEECH = "Please buy five hundred shares of Tata Motors."
LOSSLESS = ("pcm.wav", "pcm24.wav", "float.wav", "call.flac")
MONO_ONLY = ("call.amr", "call.ul")


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The greatest normalised correlation over small shifts: codecs delay a little."""
    size = min(len(one), len(other)) - 800
    fixed = other[:size] / np.linalg.norm(other[:size])
    shifted = (one[shift : shift + size] for shift in range(800))
    return max(float(np.dot(piece, fixed) / np.linalg.norm(piece)) for piece in shifted)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_telephony_gives_the_speech_back(kind: str, tmp_path: Path) -> None:
    speech = said(SPEECH)
    audio = decode(encode(tmp_path / kind, kind, speech), rate=RATE)
    assert (audio.rate, audio.channels) == (RATE, ())
    assert audio.samples.dtype == np.float32
    assert audio.duration == pytest.approx(len(speech) / RATE, abs=0.08)
    assert np.abs(audio.samples).max() <= 1.0
    assert likeness(audio.samples, speech) > (0.99 if kind in LOSSLESS else 0.85)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in MONO_ONLY])
def test_two_channels_come_back_as_two_in_their_order(kind: str, tmp_path: Path) -> None:
    dealer, client = tone(1.0, 300), tone(1.0, 900)
    audio = decode(encode(tmp_path / kind, kind, dealer, client), rate=RATE)
    assert len(audio.channels) == 2
    peaks = [int(np.argmax(np.abs(np.fft.rfft(side[1000:7000])))) * RATE / 6000 for side in audio.channels]
    assert peaks == pytest.approx([300, 900], abs=5)
    assert audio.samples == pytest.approx(np.mean(audio.channels, axis=0), abs=1e-6)


def test_the_own_rate_is_kept_unless_another_is_wanted(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wav", "pcm24.wav", tone(1.0, 440))
    assert decode(path).rate == 44100
    assert len(decode(path, rate=16000).samples) == pytest.approx(16000, abs=40)


def test_raw_g729_is_known_by_its_name(tmp_path: Path) -> None:
    frames = np.random.default_rng(3).integers(0, 256, 10 * 200, np.uint8).tobytes()
    (tmp_path / "stored").write_bytes(frames)
    audio = decode(tmp_path / "stored", "call.G729")
    assert (audio.rate, audio.duration) == (8000, pytest.approx(2.0))
    with pytest.raises(UnsupportedAudio, match=r"raw \.g729"):
        decode(tmp_path / "stored", "call.bin")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("notes.wav", b"Dear sir,\nplease find attached the recording.\n" * 50),
        ("page.mp3", b"<html><body>login</body></html>" * 20),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n"),
        ("zeros.wav", bytes(5000)),
        ("one.wav", b"x"),
    ],
)
def test_what_is_no_audio_is_unsupported(name: str, body: bytes, tmp_path: Path) -> None:
    (tmp_path / "stored").write_bytes(body)
    with pytest.raises(UnsupportedAudio, match="not a known audio format"):
        decode(tmp_path / "stored", name)


def test_a_video_without_sound_is_unsupported(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 64
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode(None))
    with pytest.raises(UnsupportedAudio, match="no audio stream"):
        decode(tmp_path / "a.mp4")


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in MONO_ONLY])
@pytest.mark.parametrize("kept", [4, 11, 20, 36])
def test_a_file_cut_within_its_header_is_corrupt_or_unknown_never_sound(kind: str, kept: int, tmp_path: Path) -> None:
    whole = encode(tmp_path / kind, kind, tone(1.0, 440)).read_bytes()
    (tmp_path / "cut").write_bytes(whole[:kept])
    with pytest.raises((CorruptAudio, UnsupportedAudio)):
        decode(tmp_path / "cut", kind)


def test_an_empty_file_and_a_header_without_sound_are_corrupt(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(CorruptAudio, match="0 bytes"):
        decode(tmp_path / "empty.wav")
    whole = encode(tmp_path / "a.wav", "pcm.wav", tone(1.0, 440)).read_bytes()
    (tmp_path / "header.wav").write_bytes(whole[: whole.index(b"data") + 8])
    with pytest.raises(CorruptAudio, match="holds no sound"):
        decode(tmp_path / "header.wav")


@pytest.mark.parametrize("kind", ["call.mp3", "call.flac", "call.ogg", "call.m4a"])
def test_a_body_of_garbage_behind_a_good_header_is_corrupt(kind: str, tmp_path: Path) -> None:
    whole = bytearray(encode(tmp_path / kind, kind, said(SPEECH)).read_bytes())
    whole[16:] = np.random.default_rng(5).integers(0, 256, len(whole) - 16, np.uint8).tobytes()
    (tmp_path / "bad").write_bytes(bytes(whole))
    with pytest.raises(CorruptAudio):
        decode(tmp_path / "bad", kind)


@pytest.mark.parametrize("kind", ["pcm.wav", "mulaw.wav", "call.mp3", "call.flac", "call.ogg"])
def test_a_recording_whose_end_is_missing_gives_what_is_there(kind: str, tmp_path: Path) -> None:
    whole = encode(tmp_path / kind, kind, tone(4.0, 440)).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    assert 0.9 < decode(tmp_path / "cut", kind).duration < 3.0


def test_days_of_silence_in_a_few_kilobytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cofi_dagster.node.audio.MAX_SECONDS", 5)
    path = encode(tmp_path / "a.flac", "call.flac", silence(10))
    with pytest.raises(TooLongAudio):
        decode(path)


def test_channels_are_speakers_only_where_two_sides_are_heard() -> None:
    dealer, client, none = said(SPEECH), said(SPEECH, CLIENT), silence(10)
    size = min(map(len, (dealer, client)))
    dealer, client, none = dealer[:size], client[:size], none[:size]

    def speakers(left: np.ndarray, right: np.ndarray) -> Audio:
        return with_speakers(Audio(((left + right) / 2).astype(np.float32), RATE, (left, right)))

    assert len(speakers(dealer, client).channels) == 2
    assert speakers(dealer, dealer).channels == ()
    assert speakers(none, client).channels == ()
    assert np.array_equal(speakers(none, client).samples, client)
