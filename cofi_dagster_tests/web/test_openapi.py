"""The OpenAPI document says all that the API does: requests made from it get the replies that it promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from cofi_dagster.settings import Settings
from cofi_dagster.web.api import create_api
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.web.conftest import serving

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BOUNDS = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of an API, served over a socket, on a database with a batch."""
    home = tmp_path_factory.mktemp("openapi")
    made = Settings.load(_env_file=None, COFI_HOME=home, COFI_UPLOAD_MAX_FILE_MB=0.1)
    site = Site.open(made)
    site.make(2)
    with serving(create_api(made, site.engine)) as address:
        yield schemathesis.openapi.from_url(f"{address}/cofi/openapi.json")
    site.engine.dispose()


def exercise(schema: Any, method: str, checks: list[Any], examples: int) -> int:
    """Call every operation of a method with requests made from the document; how many operations there are."""
    operations = [found.ok() for found in schema.include(method=method).get_all_operations()]
    for operation in operations:

        @settings(max_examples=examples, **BOUNDS)
        @given(case=operation.as_strategy())
        def call(case: Any) -> None:
            case.call_and_validate(checks=checks)

        call()
    return len(operations)


def test_reading_does_what_the_document_says(schema: Any) -> None:
    assert exercise(schema, "GET", [*CHECKS, negative_data_rejection], examples=12) >= 13


def test_posting_does_what_the_document_says(schema: Any) -> None:
    assert exercise(schema, "POST", CHECKS, examples=25) == 10
