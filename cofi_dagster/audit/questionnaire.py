"""The questionnaire that ships: what an auditor asks of every call. Reading ``auditQuestion`` is the database's part.

The first three questions compare the call with the executed trade; a call without a mapped trade gets
:data:`NO_TRADE_DATA` as its answer to them, and LLM2 answers the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_TRADE_DATA = "No trade data found"
"""The answer to the questions that need trade data, of a call that has no mapped trade."""

TRADE_QUESTIONS = 3
"""How many questions, from the first position on, need trade data."""

DEFAULT_PROCESS_ID = 1
DEFAULT_CATEGORY_MAPPING_ID = 1
"""Whose questionnaire the default one is: that of every batch whose row names no other."""

YES_NO = "yes_no"
TEXT = "text"

YES, NO, NOT_DISCUSSED, CANNOT_BE_DETERMINED = "Yes", "No", "Not discussed", "Cannot be determined"
CHOICES: dict[str, tuple[str, ...]] = {YES_NO: (YES, NO, NOT_DISCUSSED, CANNOT_BE_DETERMINED)}
"""The answers that a question of an answer type is offered. A type that is not named here is answered in free text;
a server that does not hold its model to the schema may answer in other words, which are kept as they are."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a questionnaire, as a row of ``auditQuestion``.

    Attributes:
        id: the question's id; LLM2's schema names the answer ``q<id>``.
        position: its place in the questionnaire, from 1.
        text: the question as a person reads it.
        answer_type: ``yes_no`` (see :data:`CHOICES`) or ``text``.
    """

    id: int
    position: int
    text: str
    answer_type: str


_DEFAULT = (
    ("Does what the client ordered agree with the executed trade in scrip, side and quantity?", YES_NO),
    ("Does the price that the client agreed to agree with the price of the executed trade?", YES_NO),
    ("Did the call begin before the order was entered?", YES_NO),
    ("Was the client identified by name, client code or other details?", YES_NO),
    ("Did the client, and not the dealer, name the scrip?", YES_NO),
    ("Did the client, and not the dealer, say whether to buy or to sell?", YES_NO),
    ("Did the client, and not the dealer, state the quantity?", YES_NO),
    ("Did the client, and not the dealer, state the price, or that the order is at market?", YES_NO),
    ("Which orders did the client give (side, quantity, scrip, price)?", TEXT),
    ("Did the dealer read the order back to the client?", YES_NO),
    ("Did the client assent to the order as it was read back?", YES_NO),
    ("Was an order changed or cancelled during the call?", YES_NO),
    ("Did the dealer confirm during the call that the order was placed or executed?", YES_NO),
    ("Did the dealer give advice or a recommendation that the client had not asked for?", YES_NO),
    ("Did the dealer assure the client of a return, of a profit or against a loss?", YES_NO),
    ("Did the dealer put pressure on the client to trade?", YES_NO),
    ("Did the client leave scrip, side, quantity, price or time to the dealer's discretion?", YES_NO),
    ("Was the order given by, or on behalf of, a third party?", YES_NO),
    ("Did the client complain about or dispute an earlier trade?", YES_NO),
    ("Is the recording complete, from the greeting to the end of the conversation?", YES_NO),
)

DEFAULT_QUESTIONS: tuple[Question, ...] = tuple(
    Question(position, position, text, answer_type) for position, (text, answer_type) in enumerate(_DEFAULT, 1)
)
