"""The documentation is served whole by the service itself."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.documentation import ASSETS, SERVED
from tests.api.conftest import Client

ADDRESS = re.compile(r"""(?:src|href)="([^"]+)\"""")


@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
async def test_a_page_loads_only_what_we_serve(client: Client, path: str):
    page = await client.get(path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "//" not in page.text
    files = ADDRESS.findall(page.text)
    assert files
    for file in files:
        answer = await client.get(file)
        assert (answer.status_code, len(answer.content) > 0) == (200, True), file
        assert "max-age" in answer.headers["cache-control"]


@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
async def test_a_page_may_reach_nobody_else(client: Client, path: str):
    policy = (await client.get(path)).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "connect-src 'self';" in policy
    assert "http" not in policy


def test_the_pages_are_given_no_address_outside():
    ours = "".join(file.read_text() for file in (ASSETS / "pages").iterdir())
    assert "http" not in ours
    assert "cdn.redoc.ly" not in (ASSETS / "redoc" / "redoc.standalone.js").read_text()
    assert not list(ASSETS.rglob("*.map"))
    assert all((ASSETS / folder / "LICENSE").exists() for folder in ("swagger-ui", "redoc"))
    assert "LICENSE" not in SERVED


async def test_the_document_says_what_there_is(client: Client):
    response = await client.get("/api/openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    document = response.json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert {"/api/auth/register", "/api/auth/login", "/api/jobs/{job_id}", "/api/config"} <= set(document["paths"])
    assert not [path for path in document["paths"] if path.startswith(("/verify-email", "/api/docs", "/api/redoc"))]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)


async def test_every_error_has_a_place_that_its_type_leads_to(client: Client):
    page = (await client.get("/api/docs/errors")).text
    problem = (await client.get("/api/auth/me")).json()
    path, _, anchor = problem["type"].partition("#")
    assert path == "/api/docs/errors"
    assert f'id="{anchor}"' in page


async def test_schemas_have_names_that_people_would_give(client: Client):
    document = (await client.get("/api/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert {"PageOfProjectOut", "SupportAssignment", "DisputesAssignment", "TimeEntriesEntryOut"} <= set(schemas)
    assert not [name for name in schemas if not re.fullmatch(r"[A-Z][A-Za-z]+", name)]
    assert {f"#/components/schemas/{name}" for name in schemas} >= set(references(document))


async def test_an_example_is_what_its_field_may_hold(client: Client):
    schemas = (await client.get("/api/openapi.json")).json()["components"]["schemas"]
    assert schemas["Decision"]["properties"]["freelancer_share"]["examples"] == [0.25]
    assert schemas["NewProposal"]["properties"]["bid_amount"]["examples"] == [1250.5]


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, held in part.items():
            yield from [held] if key == "$ref" else references(held)
    elif isinstance(part, list):
        for held in part:
            yield from references(held)
