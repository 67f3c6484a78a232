"""``python -m cofi_dagster.database.ddl schema|views`` prints ``sql/schema.mysql.sql`` or ``sql/views.sql``.

Both are made from the declared tables, views and stages; a test compares the files with what is printed here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from sqlalchemy.dialects import mysql

from cofi_dagster.database import schema, views

_SCHEMA_HEAD = """-- All tables of COFI for an empty MySQL 8 or MariaDB 10.6+ database.
-- Made from cofi_dagster/database/tables.py by `python -m cofi_dagster.database.ddl schema`: change it there.
-- `cofi db upgrade` makes these tables and more: the views, the default questionnaire, the note of its version;
-- `cofi db upgrade --sql` prints all of that for the database as it is.
SET NAMES utf8mb4;
"""
_VIEWS_HEAD = """-- The views that people and dashboards read; `cofi db upgrade` makes them.
-- Made from the stage catalogue by `python -m cofi_dagster.database.ddl views`: change views.py instead.
-- vw_batches_by_stage: a row per batch: its current stage, its progress in percent, and each stage as JSON.
-- vw_stage_statistics: a row per stage: how many batches wait, are at work, done, failed, skipped; mean seconds.
"""


def schema_file() -> str:
    """The text of ``sql/schema.mysql.sql``."""
    statements = schema.create_statements(mysql.dialect())
    return _SCHEMA_HEAD + "".join(f"\n{statement.replace(chr(9), '  ')};\n" for statement in statements)


def views_file() -> str:
    """The text of ``sql/views.sql``."""
    return _VIEWS_HEAD + "".join(f"\n{statement};\n" for _, statement in views.declared())


FILES: dict[str, Callable[[], str]] = {"schema": schema_file, "views": views_file}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in FILES:
        sys.exit(f"usage: python -m cofi_dagster.database.ddl {'|'.join(FILES)}")
    sys.stdout.write(FILES[sys.argv[1]]())
