import numpy as np
import pytest

from cofi_dagster.node.engines import SPEECH_RATE, Audio, IvrSegment
from cofi_dagster.node.speech import SphinxRecogniser, UnsupportedLanguageError
from cofi_dagster.node.speech.language_model import model_files
from cofi_dagster.node.speech.phrases import number_words

HELD_OUT = [
    ("can you get me one thousand ITC at market", {"one thousand", "market"}),
    ("sell twelve hundred shares of HDFC Bank at sixteen fifty for my account", {"hdfc bank", "sell"}),
    ("sir please sell six hundred Coal India with limit four hundred and ten", {"coal india", "six hundred", "sell"}),
    ("i would now like to buy three hundred shares of Wipro at market price", {"buy", "three hundred", "wipro"}),
]


@pytest.mark.parametrize(("text", "slots"), HELD_OUT)
def test_the_slots_of_an_order_in_other_words_are_heard(recogniser, line, text, slots):
    heard = recogniser.transcribe(line(text), "en", []).text
    assert {slot for slot in slots if slot in heard} == slots


def test_segments_lie_where_the_words_are(recogniser, line):
    audio = line("please buy one hundred shares of Reliance at market price")
    [segment] = recogniser.transcribe(audio, None, []).segments
    assert 0.2 < segment.start < 0.6
    assert audio.duration - 0.6 < segment.end < audio.duration - 0.2
    assert -5 < segment.avg_logprob < 0
    assert 0 <= segment.no_speech_prob < 0.5


def test_two_channels_give_two_speakers(recogniser, line):
    dealer, client = (line(text).samples for text in ("how may i help you", "please buy one hundred shares of TCS"))
    first = np.concatenate([dealer, np.zeros_like(client)])
    second = np.concatenate([np.zeros_like(dealer), client])
    segments = recogniser.transcribe(Audio(first + second, SPEECH_RATE, (first, second)), "en", []).segments
    assert [segment.speaker for segment in segments] == ["agent", "client"]


@pytest.mark.parametrize("loudness", [0.0, 0.001, 0.02])
def test_silence_and_noise_give_no_words(recogniser, loudness):
    noise = np.random.default_rng(1).normal(0, loudness, 10 * SPEECH_RATE).astype(np.float32)
    assert recogniser.transcribe(Audio(noise, SPEECH_RATE), "en", []).segments == []


def test_a_steady_tone_gives_no_words(recogniser):
    time = np.arange(5 * SPEECH_RATE) / SPEECH_RATE
    tone = (0.3 * np.sin(2 * np.pi * 425 * time)).astype(np.float32)
    assert recogniser.transcribe(Audio(tone, SPEECH_RATE), "en", []).segments == []


def test_what_the_ivr_stage_found_is_not_transcribed(recogniser, line):
    audio = line("please buy one hundred shares of Reliance at market price")
    prompt = IvrSegment("ivr", 0.0, audio.duration)
    assert recogniser.transcribe(audio, "en", [prompt]).segments == []


def test_an_empty_recording_gives_no_words(recogniser):
    assert recogniser.transcribe(Audio(np.zeros(0, np.float32), SPEECH_RATE), "en", []).text == ""


def test_another_language_is_refused_in_one_sentence(recogniser, line):
    with pytest.raises(UnsupportedLanguageError, match=r"English only, not 'hi'"):
        recogniser.transcribe(line("hello"), "hi", [])


def test_the_language_model_is_made_once(tmp_path):
    files = model_files(tmp_path)
    made = files.arpa.stat().st_mtime_ns
    SphinxRecogniser(tmp_path)
    assert model_files(tmp_path).arpa.stat().st_mtime_ns == made
    assert {path.suffix for path in tmp_path.iterdir()} == {".arpa", ".dict"}


def test_the_language_model_is_a_distribution(tmp_path):
    lines = model_files(tmp_path).arpa.read_text().splitlines()
    unigrams = lines[lines.index("\\1-grams:") + 1 : lines.index("\\2-grams:") - 1]
    assert sum(10 ** float(row.split("\t")[0]) for row in unigrams) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (110, "one hundred and ten"),
        (1500, "one thousand five hundred"),
        (748_850, "seven lakh forty eight thousand eight hundred and fifty"),
        (20_000_000, "two crore"),
    ],
)
def test_numbers_are_spoken_in_indian_grouping(number, words):
    assert number_words(number, "and") == words
