"""Where MySQL 8 differs from the MariaDB of these tests: what COFI does then, each difference made by hand."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.bulk import insert_rows
from cofi_dagster.database.engine import DatabaseError, takes_json_rows
from cofi_dagster.database.upgrade import missing, upgrade
from cofi_dagster.settings import Settings
from cofi_dagster_tests.database.conftest import Open
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

_SALT = b"12345678" + b"abcdefghijkl\0"
_ABLE = 0x000FF7FF
"""Everything of the protocol but TLS."""


def test_a_server_that_makes_text_of_a_json_null_gets_the_same_rows_as_sql(
    server: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(server)
    row = {
        "callId": 1,
        "questionId": 1,
        "answer": "हाँ 👍 100% \\ 'x'",
        "confidence": 0.25,
        "evidence": [{"quote": "é"}],
    }
    rows = [row, {**row, "questionId": 2, "answer": None, "confidence": None, "evidence": None}]
    columns = [t.audit_answer.c[name] for name in row if name != "questionId"]
    statements: list[str] = []
    sa.event.listen(server, "before_cursor_execute", lambda _c, _cursor, text, *_: statements.append(text))
    with server.begin() as connection:
        assert takes_json_rows(connection)
        insert_rows(connection, t.audit_answer, rows)
        driver: Any = connection.connection.driver_connection
        monkeypatch.setattr(driver.cursorclass, "takes_json", False)
        insert_rows(connection, t.audit_answer, [{**one, "callId": 2} for one in rows])
        found = connection.execute(sa.select(*columns).order_by(t.audit_answer.c.id)).all()
    assert ["JSON_TABLE" in text for text in statements if text.startswith("INSERT")] == [True, False]
    assert [one[1:] for one in found[:2]] == [one[1:] for one in found[2:]]
    assert found[1][1:] == (None, None, None)


def test_columns_of_different_collations_are_never_compared(
    server: sa.Engine, settings: Callable[..., Settings], quick_fleet: FleetSimulator
) -> None:
    """A column that was added under another server's default has its collation, and SQL refuses to mix them."""
    upgrade(server)
    with server.begin() as connection:
        known = "SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE COLLATION_NAME LIKE 'utf8mb4%%ci'"
        collations = connection.exec_driver_sql(known).scalars().all()
        for number, table in enumerate(t.metadata.tables.values()):
            for column in table.c:
                own = getattr(column.type.dialect_impl(server.dialect), "collation", None)
                if isinstance(column.type, sa.String) and column.type.length and own is None:
                    _give_collation(connection, column, collations[number % len(collations)])
    site = Site.on(settings(**quick_fleet.environment()), server)
    batch = site.make(3)
    site.run(batch)
    mixed = "SELECT 1 FROM `call` JOIN callConversation said ON said.callId = `call`.id AND replyId = llm1ReplyId"
    with server.connect() as connection, pytest.raises(sa.exc.OperationalError, match="Illegal mix of collations"):
        connection.exec_driver_sql(mixed)
    assert site.status(batch) == "Completed"


def _give_collation(connection: sa.Connection, column: sa.Column[Any], collation: str) -> None:
    null = "NULL" if column.nullable else "NOT NULL"
    change = f"MODIFY `{column.name}` VARCHAR({column.type.length}) COLLATE {collation} {null}"  # type: ignore[attr-defined]
    default = column.server_default
    said = f" DEFAULT '{default.arg}'" if isinstance(default, sa.DefaultClause) else ""
    connection.exec_driver_sql(f"ALTER TABLE `{column.table.name}` {change}{said}")


@pytest.fixture
def mysql_port() -> Iterator[int]:
    """A port where something greets as MySQL 8 does and asks for its default login, as if the password were new."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_ask_for_a_login, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def _ask_for_a_login(listener: socket.socket) -> None:
    """Protocol::HandshakeV10, then AuthMoreData: perform full authentication, and a public key."""
    low, high = _ABLE & 0xFFFF, _ABLE >> 16
    greeting = b"\x0a8.4.0\0" + struct.pack("<I", 1) + _SALT[:8] + b"\0" + struct.pack("<HBHHB", low, 45, 2, high, 21)
    client, _ = listener.accept()
    with client:
        replies = (greeting + bytes(10) + _SALT[8:] + b"caching_sha2_password\0", b"\x01\x04", b"\x01a public key")
        for number, payload in enumerate(replies):
            client.sendall(struct.pack("<I", len(payload))[:3] + bytes([2 * number]) + payload)
            client.recv(65536)


def test_a_login_that_needs_encryption_is_said_in_a_sentence(opened: Open, mysql_port: int) -> None:
    engine = opened(f"mysql+pymysql://cofi:secret@127.0.0.1:{mysql_port}/cofi")
    with pytest.raises(DatabaseError, match=r"cofi:\*\*\*@.*caching_sha2_password.*add TLS to the URL"):
        missing(engine)
