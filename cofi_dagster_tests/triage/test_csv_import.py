"""Reading the two CSVs: what real exports do, and that a bad row goes alone."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cofi_dagster.pipeline.csv_import import (
    CsvError,
    Import,
    match_audio_names,
    read_call_metadata,
    read_trade_metadata,
)

HEADER = "orderId,tradeId,clientCode,clientPhone,symbol,side,quantity,price,orderTime"


@pytest.fixture
def trades(tmp_path: Path):
    def read(text: str | bytes, **renames: str) -> Import:
        path = tmp_path / "tradeMetadata.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_trade_metadata(path, renames)

    return read


@pytest.fixture
def calls(tmp_path: Path):
    def read(text: str | bytes, **renames: str) -> Import:
        path = tmp_path / "callMetadata.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_call_metadata(path, renames)

    return read


def row(**changes: str) -> str:
    values = {
        "orderId": "1200000012345678", "tradeId": "1", "clientCode": "C1", "clientPhone": "+91 98765 43210",
        "symbol": "TCS", "side": "B", "quantity": "100", "price": "3500.5", "orderTime": "2026-01-15 10:00:00",
    } | changes  # fmt: skip
    return ",".join(f'"{values[name]}"' if "," in values[name] else values[name] for name in HEADER.split(","))


def one(result: Import) -> dict[str, Any]:
    assert result.rejected == []
    (only,) = result.rows
    return only


def test_a_row_has_every_column_of_the_table_ready_for_insertion(trades):
    found = one(trades(f"{HEADER}\n{row()}\n"))
    assert found == {
        "orderId": "1200000012345678", "tradeId": "1", "clientCode": "C1", "clientPhone": "+91 98765 43210",
        "symbol": "TCS", "side": "BUY", "quantity": 100.0, "price": 3500.5, "orderTime": datetime(2026, 1, 15, 10),
        "tradeTime": None, "exchange": None, "dealerId": None, "status": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-01-15T10:11:12", datetime(2026, 1, 15, 10, 11, 12)),
        ("2026-01-15 10:11:12.25", datetime(2026, 1, 15, 10, 11, 12, 250000)),
        ("2026-01-15T10:11:12Z", datetime(2026, 1, 15, 10, 11, 12)),
        ("2026-01-15T10:11:12+05:30", datetime(2026, 1, 15, 4, 41, 12)),
        ("15-01-2026 10:11:12", datetime(2026, 1, 15, 10, 11, 12)),
        ("15/01/2026 10:11", datetime(2026, 1, 15, 10, 11)),
        ("5/1/2026 9:05:00 PM", datetime(2026, 1, 5, 21, 5)),
        ("15-Jan-2026 12:00:01 am", datetime(2026, 1, 15, 0, 0, 1)),
        ("2026/1/5 9:05", datetime(2026, 1, 5, 9, 5)),
    ],
)
def test_times_are_read_as_exports_write_them(trades, written, read):
    assert one(trades(f"{HEADER}\n{row(orderTime=written)}\n"))["orderTime"] == read


def test_an_order_time_without_time_of_day_is_midnight_and_noted(trades):
    result = trades(f"{HEADER}\n{row(orderTime='15/01/2026')}\n")
    assert one(result)["orderTime"] == datetime(2026, 1, 15)
    assert [note.line for note in result.noted] == [2]


def test_a_call_start_without_time_of_day_is_no_start_as_midnight_would_precede_every_order(calls):
    result = calls("audioName,callStart\na.wav,2026-01-15\n")
    assert one(result)["callStart"] is None
    assert "callStart" in result.noted[0].reason


@pytest.mark.parametrize(
    ("written", "read"),
    [("7,48,800", 748800.0), ("1,234.50", 1234.5), ("₹ 12", 12.0), ("1,00,00,000", 1e7), ("5", 5.0)],
)
def test_numbers_may_be_grouped_the_indian_or_the_western_way(trades, written, read):
    assert one(trades(f"{HEADER}\n{row(quantity=written)}\n"))["quantity"] == read


@pytest.mark.parametrize("side", ["B", "BUY", "buy", "Bought", "1"])
def test_every_spelling_of_a_side_becomes_one(trades, side):
    assert one(trades(f"{HEADER}\n{row(side=side)}\n"))["side"] == "BUY"


@pytest.mark.parametrize("price", ["", "0", "0.00", "MKT", "Market"])
def test_a_market_order_has_no_price(trades, price):
    assert one(trades(f"{HEADER}\n{row(price=price)}\n"))["price"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"orderId": "1.2E+15"}, "orderId '1.2E+15' was rounded by a spreadsheet: the id is lost"),
        ({"tradeId": "1,2E+15"}, "tradeId"),
        ({"quantity": "0"}, "quantity '0' is not above zero"),
        ({"quantity": "-5"}, "quantity '-5' is not above zero"),
        ({"quantity": "ten"}, "quantity 'ten' is not a number"),
        ({"quantity": "12,5"}, "quantity '12,5' is not a number"),
        ({"quantity": "nan"}, "quantity 'nan' is not a number"),
        ({"quantity": "9" * 400}, "quantity is too large"),
        ({"price": "-1"}, "price '-1' is below zero"),
        ({"side": "HOLD"}, "side 'HOLD' is neither BUY nor SELL"),
        ({"orderTime": "31-02-2026 10:00:00"}, "orderTime '31-02-2026 10:00:00' is not a time"),
        ({"orderTime": "01/15/2026 10:00"}, "orderTime '01/15/2026 10:00' is not a time"),
        ({"orderTime": ""}, "orderTime is empty"),
        ({"symbol": " "}, "symbol is empty"),
        ({"clientCode": "", "clientPhone": ""}, "clientCode and clientPhone are both empty"),
        ({"symbol": "X" * 65}, "symbol is longer than 64 characters"),
    ],
)
def test_a_bad_row_is_rejected_alone_with_its_line_and_reason(trades, changes, reason):
    result = trades(f"{HEADER}\n{row()}\n{row(**({'tradeId': '2'} | changes))}\n{row(tradeId='3')}\n")
    assert [found["tradeId"] for found in result.rows] == ["1", "3"]
    assert [rejected.line for rejected in result.rejected] == [3]
    assert result.rejected[0].reason.startswith(reason)


def test_rows_with_too_few_or_too_many_fields_are_rejected_and_trailing_delimiters_are_not(trades):
    result = trades(f"{HEADER}\n{row()},\n1,2\n{row(tradeId='2')},x\n\n,,,,,,,,\n")
    assert len(result.rows) == 1
    assert [(rejected.line, rejected.reason) for rejected in result.rejected] == [
        (3, "2 fields where the header has 9"),
        (4, "10 fields where the header has 9"),
    ]


def test_the_same_key_twice_keeps_the_first(trades):
    result = trades(f"{HEADER}\n{row()}\n{row(quantity='7')}\n{row(tradeId='2')}\n")
    assert [found["quantity"] for found in result.rows] == [100, 100]
    assert [(rejected.line, rejected.reason) for rejected in result.rejected] == [
        (3, "the same orderId and tradeId as line 2, which is kept")
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_order_names_extra_columns_and_delimiters_are_found_out(trades, delimiter):
    header = ["Extra", "BUY_SELL", " Symbol", "QTY", "Client Code", "ORDER_ID", "order time"]
    values = ["x", "S", "INFY", "10", "C9", "00017", "15-01-2026 10:00:00"]
    text = "\r\n".join(delimiter.join(line) for line in (header, values))
    found = one(trades("\ufeff" + text, **{"buysell": "side", "Qty": "quantity"}))
    assert (found["orderId"], found["side"], found["quantity"], found["clientPhone"]) == ("00017", "SELL", 10.0, None)


def test_a_quoted_field_may_hold_newlines_and_the_line_is_where_its_row_starts(calls):
    result = calls('audioName,direction\n"a.wav","in\nand out"\nb.wav,"x""y"\na.wav,again\n')
    assert [found["direction"] for found in result.rows] == ["in\nand out", 'x"y']
    assert [rejected.line for rejected in result.rejected] == [5]


def test_a_quote_that_is_never_closed_does_not_swallow_the_rows_after_it(calls):
    rows = "".join(f"{number}.wav,in\n" for number in range(100))
    result = calls(f'audioName,direction\n"bad.wav,in\n{rows}')
    assert len(result.rows) == 100
    assert [rejected.line for rejected in result.rejected] == [2]


def test_nul_bytes_and_spreadsheet_guards_are_taken_off(calls):
    found = one(calls(b'sep=,\naudioName,clientCode\n\0a.wav\0,="0012"\n\0\0\0\n'))
    assert (found["audioName"], found["clientCode"]) == ("a.wav", "0012")


def test_what_is_not_utf8_is_cp1252(calls):
    result = calls("audioName,direction\nrésumé.wav,in\n".encode("cp1252"))
    assert result.encoding == "cp1252"
    assert one(result)["audioName"] == "résumé.wav"


def test_devanagari_with_a_bom_is_utf8(calls):
    assert one(calls("\ufeffaudioName\nकॉल.wav\n"))["audioName"] == "कॉल.wav"


def test_durations_are_seconds_or_a_clock(calls):
    result = calls("audioName,durationSeconds\na,61.5\nb,01:02:03\nc,2:03\nd,-1\n")
    assert [found["durationSeconds"] for found in result.rows] == [61.5, 3723.0, 123.0]
    assert [rejected.line for rejected in result.rejected] == [5]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "tradeMetadata.csv is empty: not even a header line"),
        (
            "orderId,symbol\n1,2\n",
            "tradeMetadata.csv lacks the columns side, quantity, orderTime, clientCode or clientPhone",
        ),
        (HEADER.replace("side,", "") + "\n", "tradeMetadata.csv lacks the column side"),
        (HEADER + ",Order ID\n", "tradeMetadata.csv has two columns for orderId: 'orderId' and 'Order ID'"),
        (HEADER.encode("utf-16"), "tradeMetadata.csv is UTF-16; export it as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_it_lacks_in_one_sentence(trades, text, sentence):
    with pytest.raises(CsvError) as error:
        trades(text)
    assert str(error.value) == sentence


def test_a_file_that_is_not_there_and_a_mapping_to_nowhere_are_csv_errors(tmp_path, trades):
    with pytest.raises(CsvError, match=r"nothing\.csv cannot be read"):
        read_call_metadata(tmp_path / "nothing.csv", {})
    with pytest.raises(CsvError, match="has no column colour"):
        trades(HEADER, Farbe="colour")


def test_a_header_alone_is_no_rows(trades):
    assert trades(HEADER) == Import([], [], "utf-8-sig")


def test_a_hundred_thousand_rows_are_read_in_seconds(trades):
    text = HEADER + "\n" + "\n".join(row(tradeId=str(number), quantity="7,48,800") for number in range(100_000))
    start = time.perf_counter()
    result = trades(text)
    elapsed = time.perf_counter() - start
    assert len(result.rows) == 100_000
    assert elapsed < 20


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a.wav", "a.wav"),
        ("calls/2026/a.wav", "a.wav"),
        ("D:\\rec\\a.wav", "a.wav"),
        ("A.WAV", "a.wav"),
        ("a", "a.wav"),
        ("a.mp3", "a.wav"),
        ("Jose\u0301", "Jos\u00e9.wav"),
        ("twice", None),
        ("case.wav", None),
        ("a.b", None),
        ("missing.wav", None),
    ],
)
def test_a_renamed_file_still_finds_its_call_unless_two_could_be_meant(name, file):
    files = ["a.wav", "Jos\u00e9.wav", "twice.wav", "twice.mp3", "Case.wav", "CASE.wav"]
    assert match_audio_names([name], files) == {name: file}


def test_no_file_goes_to_two_names():
    assert match_audio_names(["x/a.wav", "y/a.wav"], ["a.wav"]) == {"x/a.wav": None, "y/a.wav": None}
    assert match_audio_names(["A.wav", "a.wav"], ["a.wav"]) == {"A.wav": None, "a.wav": "a.wav"}
