import numpy as np
import pytest

from cofi_dagster.node.engines import SPEECH_RATE, Audio, IvrSegment
from cofi_dagster.node.speech import LanguageIdentifier

ENGLISH = (
    "could you tell me which of my holdings paid a dividend this year. "
    "i also want to know when the next statement will reach my office"
)
HINDI = "मुझे बताइए कि मेरे कौन से शेयर पर इस साल लाभांश मिला है। और अगला विवरण मेरे दफ्तर कब पहुँचेगा"


@pytest.fixture(scope="module")
def identifier():
    return LanguageIdentifier()


@pytest.mark.parametrize("variant", ["+m3", "+f2"])
def test_english_and_hindi_are_told_apart_in_voices_that_were_not_trained_with(identifier, line, variant):
    assert identifier.identify(line(ENGLISH, f"gmw/en-US{variant}"), [])[0] == "en"
    assert identifier.identify(line(HINDI, f"inc/hi{variant}"), [])[0] == "hi"


def test_a_greeting_in_english_does_not_decide_a_hindi_call(identifier, line):
    call = np.concatenate([line("good morning dealing desk").samples, line(HINDI, "inc/hi+f2").samples])
    language, confidence = identifier.identify(Audio(call, SPEECH_RATE), [])
    assert language == "hi"
    assert 0.5 < confidence <= 1


def test_a_prompt_that_the_ivr_stage_found_is_not_heard(identifier, line):
    prompt, talk = line(ENGLISH), line(HINDI, "inc/hi+m3")
    call = Audio(np.concatenate([prompt.samples, prompt.samples, talk.samples]), SPEECH_RATE)
    assert identifier.identify(call, [IvrSegment("ivr", 0.0, 2 * prompt.duration)])[0] == "hi"


def test_a_call_without_talk_has_no_confidence(identifier):
    assert identifier.identify(Audio(np.zeros(5 * SPEECH_RATE, np.float32), SPEECH_RATE), []) == ("en", 0.0)
