"""Finding calls: every filter and combinations, pages, what cannot be asked, and a search that takes long."""

from __future__ import annotations

import re
from datetime import date

import httpx
import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.web.pages import call_search
from cofi_dagster.web.pages.call_search import Wish, by_answer, by_batch, by_dates, by_symbol, by_word, search
from cofi_dagster.web.pages.calls import phone_spellings
from cofi_dagster_tests.fleet_simulator.calls import trades_of
from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.installation import FILES, Installation

_ROW = re.compile(r'href="/cofi/call/(\d+)">([^<]+)<')


def _found(address: str, query: str) -> list[str]:
    """The files of the calls on the page of this query, in their order."""
    reply = httpx.get(f"{address}/cofi/calls?{query}")
    assert reply.status_code == 200
    return [name for _, name in _ROW.findall(reply.text)]


def test_a_person_finds_a_call_by_its_client_and_goes_to_it(window: Window) -> None:
    page = window.open("/cofi/calls")
    assert page.locator("tbody tr").count() == 50
    expect(page.locator("caption")).to_have_text("More than 1,000 calls, newest first")
    window.check()
    page.get_by_label("Client code").fill("c000003")
    page.get_by_label("Batch").fill("2026-01-12_1")
    page.keyboard.press("Enter")
    expect(page.locator("caption")).to_have_text("1 call, newest first")
    row = page.locator("tbody tr").inner_text()
    for word in ("call_000003.wav", "2026-01-12 09:15:03", "C000003", "9000000003", "D3", "Complete", "2026-01-12_1"):
        assert word in row
    page.get_by_role("link", name="call_000003.wav").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("call_000003.wav")


def test_every_filter_finds_the_calls_that_it_names_and_no_others(address: str, installation: Installation) -> None:
    said = {name: {trade.symbol for trade in trades_of(name)} for name in [f"call_{n:06d}.wav" for n in range(6)]}
    symbol = sorted(said["call_000002.wav"])[0]
    with_symbol = sorted(name for name, symbols in said.items() if symbol in symbols)
    batch = "batch=2026-01-12_1"
    assert _found(address, batch) == ["बातचीत.wav", *(f"call_{n:06d}.wav" for n in reversed(range(7)))]
    assert _found(address, f"batch={installation.finished}&client=C000001") == ["call_000001.wav"]
    assert set(_found(address, f"{batch}&symbol={symbol.lower()}")) - {"बातचीत.wav"} == set(with_symbol)
    assert _found(address, f"{batch}&dealer=d4&status=Complete&language=en") == ["call_000004.wav"]
    assert _found(address, f"{batch}&status=Pending") == ["call_000006.wav"]
    assert _found(address, f"{batch}&language=hi") == ["बातचीत.wav"]
    assert _found(address, "status=NoSpeech") == []
    first_day = _found(address, "first=2026-01-12&last=2026-01-12")
    assert first_day == _found(address, batch)
    assert _found(address, "last=2026-01-11") == []
    assert len(_found(address, "first=2026-01-13&last=2026-01-13")) == 12
    assert len(_found(address, "first=2026-01-15")) == 50, "calls without a known start have their batch's date"


def test_a_number_is_found_however_the_files_and_the_person_write_it(address: str) -> None:
    for typed in ("9000000005", "09000000005", "%2B91 90000 00005", "+91-9000000005"):
        assert _found(address, f"batch=2026-01-12_1&phone={typed}") == ["call_000005.wav"]
    assert {"9820001001", "09820001001", "+919820001001", "+91 9820001001", "91-9820001001"} < set(
        phone_spellings("98200 01001")
    )
    assert phone_spellings("022-2345 67") == ("022-2345 67", "022234567")


def test_an_answer_is_found_by_whole_words(address: str, installation: Installation) -> None:
    answer = t.audit_answer
    query = sa.select(t.call.c.audioName, answer.c.answer).join(answer, answer.c.callId == t.call.c.id)
    rows = installation.site.rows(query.where(answer.c.questionId == 7))
    assert rows
    word = rows[0].answer.split()[0].strip(".,")
    wanted = {row.audioName for row in rows if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", row.answer, re.I)}
    assert set(_found(address, f"question=7&answer={word.upper()}")) == wanted
    assert _found(address, f"question=7&answer={word[:-1]}") == []
    assert _found(address, "answer=%25") == []


def test_pages_follow_each_other_without_a_call_twice(address: str) -> None:
    first = httpx.get(f"{address}/cofi/calls", params={"batch": "2026-01-15_1", "language": "hi"}).text
    (more,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = httpx.get(address + more.replace("&amp;", "&")).text
    names = [name for _, name in _ROW.findall(first) + _ROW.findall(second)]
    assert names == [f"call_{n:06d}.wav" for n in range(FILES - 1, FILES - 201, -2)]
    assert "2026-01-15_1" in second, "the next page asks for the same"


@pytest.mark.parametrize(
    ("query", "name", "sentence"),
    [
        ("first=2026-02-30", "first", "This is no date: write it like 2026-01-31."),
        ("first=2026-02-03&last=2026-02-01", "last", "This is before the first day."),
        ("phone=12-34", "phone", "A number has at least 6 digits."),
        ("batch=yesterday", "batch", "A batch is named like 2026-01-31_1."),
        ("batch=2031-01-01_1", "batch", "There is no batch 2031-01-01_1."),
        ("question=third", "question", "A question is named by its number."),
        ("status=Lost", "status", "There is no such status."),
        (f"client={'x' * 300}", "client", "This is too long: at most 255 characters."),
    ],
)
def test_what_cannot_be_asked_is_said_beside_its_field(address: str, query: str, name: str, sentence: str) -> None:
    page = httpx.get(f"{address}/cofi/calls?{query}").text
    assert f'<p class="error" id="{name}-error">{sentence}</p>' in page
    assert f'aria-describedby="{name}-error"' in page
    assert "Nothing was searched" in page


def test_a_search_whose_time_is_up_says_so_and_goes_on_in_older_batches(
    address: str, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere = _found(address, "status=Complete")
    monkeypatch.setattr(call_search, "_SECONDS", -1.0)
    found, query = [], "status=Complete"
    for _ in range(9):
        page = httpx.get(f"{address}/cofi/calls?{query}").text
        found += [name for _, name in _ROW.findall(page)]
        older = re.findall(r'href="/cofi/calls\?([^"]*past=\d+)"', page)
        if not older:
            break
        assert "have been looked through in the time that a page may take" in page
        query = older[0].replace("&amp;", "&")
    assert found == everywhere
    assert len(found) == 7


def test_few_and_many_are_found_alike(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an index where there are few, batch by batch where there are many: the same calls in the same order."""
    symbol = trades_of("call_000001.wav")[0].symbol
    wishes: list[list[Wish]] = [
        [by_symbol([symbol])],
        [call_search.by_metadata("dealerId", ["D1"]), by_dates(date(2026, 1, 12), date(2026, 1, 14))],
        [call_search.by_metadata("clientCode", ["C000002"]), by_word("lang", "en"), by_answer(1, "")],
        [by_symbol([symbol]), by_batch(installation.finished)],
    ]
    with reading(installation.site.engine) as connection:
        few = [search(connection, wish, 50).call_ids for wish in wishes]
        monkeypatch.setattr(call_search, "_FEW", -1)
        monkeypatch.setattr(call_search, "_SECONDS", 60.0)
        many = [search(connection, wish, 50).call_ids for wish in wishes]
        paged = [search(connection, wishes[1], 1)]
        while paged[-1].has_more:
            paged.append(search(connection, wishes[1], 1, after=paged[-1].call_ids[-1]))
    assert few == many
    assert all(few)
    assert [call_id for hits in paged for call_id in hits.call_ids] == few[1]
