from __future__ import annotations

import csv
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cofi_dagster.node.rules.numbers import find_numbers

TABLE = list(
    csv.DictReader((resources.files("cofi_dagster.node.rules") / "number_words.csv").read_text("utf-8").splitlines())
)
SMALL = [row for row in TABLE if row["kind"] in ("digit", "number", "tens")]
ENGLISH = {
    int(row["value"]): row["words"].split()[0] for row in SMALL if int(row["value"]) < 21 or row["kind"] == "tens"
}
HINDI = {int(row["value"]): next(w for w in row["words"].split() if not w.isascii()) for row in SMALL}
ROMAN = {
    int(r["value"]): [w for w in r["words"].split() if w.isascii()][0 if int(r["value"]) > 20 else -1] for r in SMALL
}
ROMAN |= {1: "ek", 2: "do", 3: "teen", 4: "chaar", 5: "paanch", 6: "chhe", 7: "saat", 8: "aath", 9: "nau", 10: "das"}
ROMAN |= {20: "bees", 30: "tees", 40: "chalis", 50: "pachas", 60: "saath", 70: "sattar", 80: "assi", 90: "nabbe"}


def values(text: str) -> list[float]:
    return [number.value for number in find_numbers(text.replace("-", " ").split())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("saat lakh adtalis hazaar aath sau", [748800]),
        ("seven lakh forty eight thousand eight hundred", [748800]),
        ("seven lakh, forty-eight thousand, eight hundred", [748800]),
        ("सात लाख अड़तालीस हज़ार आठ सौ", [748800]),
        ("7,48,800", [748800]),
        ("७,४८,८००", [748800]),
        ("two fifty", [250]),
        ("twenty five hundred", [2500]),
        ("one thousand two hundred", [1200]),
        ("fourteen fifty", [1450]),
        ("fourteen fifty point five", [1450.5]),
        ("fourteen oh five", [1405]),
        ("twenty four fifty five", [2455]),
        ("one twenty five", [125]),
        ("one hundred and fifty", [150]),
        ("double five", [55]),
        ("one zero zero", [100]),
        ("triple nine", [999]),
        ("dedh sau", [150]),
        ("dhai sau", [250]),
        ("ढाई सौ", [250]),
        ("sava sau", [125]),
        ("sava do sau", [225]),
        ("paune do sau", [175]),
        ("saadhe teen hazaar", [3500]),
        ("साढ़े तीन सौ", [350]),
        ("dedh lakh", [150000]),
        ("2 lakh 50 thousand", [250000]),
        ("7.5 lakh", [750000]),
        ("5k", [5000]),
        ("₹1,450.50", [1450.5]),
        ("two thousand crore", [20_000_000_000]),
        ("hundred", [100]),
        ("two hundred at fourteen fifty", [200, 1450]),
        ("two hundred fourteen fifty", [200, 1450]),
        ("hundred fourteen hundred fifty", [100, 1450]),
        ("Reliance, 200, 1450.", [200, 1450]),
        ("chaudah sau pachaas", [1450]),
        ("bech do", []),
        ("kar do sau share", [100]),
        ("do sau share", [200]),
        ("do you want this one", []),
        ("main aapke saath hoon", []),
        ("hello sir good morning", []),
        ("", []),
    ],
)
def test_numbers_are_heard_as_they_are_spoken(text: str, expected: list[float]) -> None:
    assert values(text) == expected


def test_the_words_of_a_number_are_told() -> None:
    (number,) = find_numbers(["buy", "two", "hundred", "and", "fifty", "shares"])
    assert (number.start, number.end) == (1, 5)


@pytest.mark.parametrize("row", SMALL, ids=lambda row: row["value"])
def test_every_spelling_of_a_value_counts_its_hundreds_and_shares(row: dict[str, str]) -> None:
    for word in row["words"].split():
        if int(row["value"]):
            assert values(f"{word} thousand") == [int(row["value"]) * 1000], word


@pytest.mark.parametrize(
    ("variant", "value"),
    [("pachees", 25), ("pachchis", 25), ("chaalees", 40), ("pachaas", 50), ("ikkees", 21), ("athaais", 28),
     ("untees", 29), ("hazaar", 1000), ("hajaar", 1000), ("laakh", 100000), ("karoD", 10_000_000), ("gyaraah", 11)],
)  # fmt: skip
def test_common_spellings_of_romanised_hindi_meet(variant: str, value: int) -> None:
    assert values(f"{variant}") == [value]


def english(value: int) -> str:
    if value < 21 or (value < 100 and value % 10 == 0):
        return ENGLISH[value]
    return f"{ENGLISH[value // 10 * 10]} {ENGLISH[value % 10]}"


def spoken(value: int, small: dict[int, str] | None, scales: tuple[str, str, str, str]) -> str:
    parts = []
    for scale, name in zip((10_000_000, 100_000, 1000, 100), scales, strict=True):
        count, value = divmod(value, scale)
        if count:
            parts.append(f"{small[count] if small else english(count)} {name}")
    if value:
        parts.append(small[value] if small else english(value))
    return " ".join(parts)


def grouped(value: int) -> str:
    head, tail = divmod(value, 1000)
    groups = [f"{tail:03d}"] if head else [str(tail)]
    while head:
        head, two = divmod(head, 100)
        groups.insert(0, f"{two:02d}" if head else str(two))
    return ",".join(groups)


AMOUNTS = st.integers(10, 999_999_999)


@given(AMOUNTS)
def test_english_words_in_indian_grouping_come_back_as_the_number(value: int) -> None:
    assert values(spoken(value, None, ("crore", "lakh", "thousand", "hundred"))) == [value]


@given(AMOUNTS)
def test_devanagari_words_come_back_as_the_number(value: int) -> None:
    assert values(spoken(value, HINDI, ("करोड़", "लाख", "हज़ार", "सौ"))) == [value]


@given(AMOUNTS.filter(lambda value: value != 60))
def test_romanised_hindi_comes_back_as_the_number(value: int) -> None:
    assert values(spoken(value, ROMAN, ("karod", "lakh", "hazaar", "sau"))) == [value]


@given(AMOUNTS)
def test_digits_in_indian_grouping_come_back_as_the_number(value: int) -> None:
    assert values(grouped(value)) == [value]


@given(
    st.lists(
        st.sampled_from(
            [w for row in TABLE for w in row["words"].split()] + ["and", "point", "double", "7,000", "reliance", "x."]
        )
    )
)
def test_any_words_give_numbers_in_order_without_overlap(words: list[str]) -> None:
    end = 0
    for number in find_numbers(words):
        assert end <= number.start < number.end <= len(words)
        assert number.value >= 0
        end = number.end
