"""The node's embedded speech engines: what works on a fresh machine without a model to download.

Both are on the CPU, small and honest about it; a Whisper model takes their place where one is configured
(:mod:`cofi_dagster.node.whisper`). Finding rings, prompts and silence is not done here but by the IVR stage.
"""

from cofi_dagster.node.speech.identifier import LanguageIdentifier
from cofi_dagster.node.speech.recogniser import SphinxRecogniser, UnsupportedLanguageError

__all__ = ["LanguageIdentifier", "SphinxRecogniser", "UnsupportedLanguageError"]
