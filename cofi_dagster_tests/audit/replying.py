"""Chat-completions bodies for the tests. No test is here."""

from __future__ import annotations

import json
from typing import Any

from cofi_dagster.audit.questionnaire import CHOICES, DEFAULT_QUESTIONS


def body(content: Any, *, finish_reason: str = "stop") -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    return {
        "model": "m-1",
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        "choices": [{"finish_reason": finish_reason, "message": {"role": "assistant", "content": text}}],
    }


def trade(**changes: Any) -> dict[str, Any]:
    good = {
        "symbol": "TCS",
        "side": "buy",
        "quantity": 100,
        "price": None,
        "price_type": "market",
        "evidence": [{"segment": 0, "quote": "buy hundred tcs"}],
    }
    return {**good, **changes}


def answers(**changes: Any) -> dict[str, Any]:
    given = {
        f"q{q.id}": {
            "answer": CHOICES.get(q.answer_type, ("Bought 100 TCS",))[0],
            "confidence": 0.5,
            "evidence": [{"segment": 1, "quote": "yes"}],
        }
        for q in DEFAULT_QUESTIONS
    }
    return {**given, **changes}
