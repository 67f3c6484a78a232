"""The OpenAPI document says all that the API does: requests made from it get the replies that it promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
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


@pytest.fixture(scope="module")
def api_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The document of an API on a database with a batch that is half done."""
    home = tmp_path_factory.mktemp("openapi")
    made = Settings.load(_env_file=None, COFI_HOME=home, COFI_UPLOAD_MAX_FILE_MB=0.1)
    site = Site.open(made)
    site.make(2)
    with serving(create_api(made, site.engine)) as address:
        yield schemathesis.openapi.from_url(f"{address}/cofi/openapi.json")
    site.engine.dispose()


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.include(method="GET").parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_reading_does_what_the_document_says(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=[*CHECKS, negative_data_rejection])


@schema.include(method="POST").parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_posting_does_what_the_document_says(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)
