"""An admin at a browser: cookies are kept, forms are filled in as the page gave them, other sites are other sites."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import httpx
import pyotp
import pytest
from litestar import Litestar

from models import accounts, guard
from models.accounts import Person, Role
from tasks.admin import new_factor
from tests.api.callers import BASE
from tests.api.conftest import PASSWORD
from wire.passwords import hash_now

# A code of the app works once in 30 s, so whoever signs in often does so with the codes from the drawer.
DRAWER: dict[str, list[str]] = {}
APPS: dict[str, pyotp.TOTP] = {}
HASH = hash_now(PASSWORD)
FIELD = re.compile(r'name="([^"]+)"[^>]* value="([^"]*)"')


async def a_user(role: Role = Role.ADMIN, email: str = "ada@example.com", *, factor: bool = True) -> Person:
    """Somebody with a password, and with an app and backup codes."""
    person = await guard.commit(
        accounts.register,
        email=email,
        password_hash=HASH,
        first_name="Ada",
        last_name="<Admin>",
        role=role,
        verified=True,
    )
    if factor:
        made = await new_factor(email)
        # As rows, and not by the verb that writes a mail too: these tests count jobs.
        await guard.rows(
            """insert into mfa_methods ("user", method, name, secret_sealed, batch, sign_count, created_at, confirmed_at)
               values ($1, 'totp', '', $2, $3, 0, now(), now())""",
            person.id,
            made.secret_sealed,
            made.batch.id,
        )
        await guard.rows(
            """insert into backup_codes ("user", batch, code_hash, live)
               select $1, $2, h, true from unnest($3::text[]) h""",
            person.id,
            made.batch.id,
            list(made.batch.hashes),
        )
        parsed = pyotp.parse_uri(made.uri)
        assert isinstance(parsed, pyotp.TOTP)
        DRAWER[email], APPS[email] = list(made.codes), parsed
    return person


class Browser(httpx.AsyncClient):
    """As much of one as forms need."""

    async def token(self, path: str = "/admin/jobs") -> str:
        """The token that the forms of a page carry."""
        found = re.search(r'name="form_token" value="([^"]+)"', (await self.get(path)).text)
        assert found, "a page without a form"
        return found[1]

    async def press(self, path: str, *, token: str | None = None, **fields: str) -> httpx.Response:
        """Send a form of the page of jobs."""
        return await self.post(path, data={"form_token": token or await self.token(), **fields})

    async def sign_in(self, email: str = "ada@example.com", password: str = PASSWORD, **fields: str) -> httpx.Response:
        """Fill in both sign-in forms, as far as they come."""
        answer = await self.type_password(email, password, **fields)
        if answer.headers.get("location") != "/admin/sign-in/code":
            return answer
        return await self.type_code(DRAWER[email].pop())

    async def type_code(self, code: str) -> httpx.Response:
        """Fill in the second form."""
        token = await self.token("/admin/sign-in/code")
        return await self.post("/admin/sign-in/code", data={"form_token": token, "code": code})

    async def type_password(
        self, email: str = "ada@example.com", password: str = PASSWORD, **fields: str
    ) -> httpx.Response:
        """Fill in the first form."""
        token = await self.token("/admin/sign-in")
        return await self.post(
            "/admin/sign-in", data={"form_token": token, "email": email, "password": password, **fields}
        )


def browser(app: Litestar, **headers: str) -> Browser:
    """A browser that has been nowhere yet."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return Browser(
        transport=transport, base_url=BASE, headers={"Origin": BASE, "Sec-Fetch-Site": "same-origin", **headers}
    )


def text_of(answer: httpx.Response) -> str:
    """The page as a reader has it."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


@pytest.fixture
async def visitor(app: Litestar) -> AsyncIterator[Browser]:
    """Somebody at the door."""
    async with browser(app) as made:
        yield made


@pytest.fixture
async def admin(visitor: Browser) -> Any:
    """The same, signed in as an admin."""
    visitor.person = await a_user()  # type: ignore[attr-defined]
    assert (await visitor.sign_in()).status_code == 303
    return visitor
