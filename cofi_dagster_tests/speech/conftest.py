from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cofi_dagster.demo.synthesis import Voice, resample, speak
from cofi_dagster.node.engines import SPEECH_RATE, Audio
from cofi_dagster.node.speech import SphinxRecogniser

Line = Callable[..., Audio]


@pytest.fixture(scope="session")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> SphinxRecogniser:
    return SphinxRecogniser(Path(tmp_path_factory.mktemp("speech")))


@pytest.fixture(scope="session")
def line() -> Line:
    """Words through a telephone: 8 kHz with a little noise, then at the rate that the engines get."""

    def through(text: str, voice: str = "gmw/en-US") -> Audio:
        said = np.pad(speak(text, Voice(voice, 140), 8000), 4000) * 0.5
        noise = np.random.default_rng(0).normal(0, 0.0012, len(said))
        return Audio(resample((said + noise).astype(np.float32), 8000, SPEECH_RATE), SPEECH_RATE)

    return through
