"""OPTIONS names every method of a path, whichever modules they are written in; so does the refusal of another one."""

import pytest

from tests.api.conftest import Client


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/users/me", "DELETE, GET, OPTIONS, PATCH"),
        ("/api/users/1", "GET, OPTIONS"),
        ("/api/projects", "GET, OPTIONS, POST"),
        ("/api/auth/login", "OPTIONS, POST"),
    ],
)
async def test_options_names_the_methods_of_a_path(client: Client, path: str, methods: str):
    answer = await client.options(path)
    assert (answer.status_code, answer.headers["Allow"]) == (204, methods)
    refused = await client.put(path)
    assert refused.status_code == 405
    assert ", ".join(sorted(refused.headers["Allow"].split(", "))) == methods


async def test_options_of_nothing_is_404(client: Client):
    assert (await client.options("/api/nothing")).status_code == 404
