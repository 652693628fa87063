"""Accounts: made, read, renamed; and their address, proved and changed."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Router, get, patch, post
from litestar.params import JSONBody

from api.auth import ANYBODY, PUBLIC, Asking, signed_in
from api.proofs import prove_password, require_step_up
from api.requests import MAX_ANONYMOUS_BODY_BYTES, visitor_of
from api.sign_in import Password, Token
from models import accounts, addresses, passwords
from models.accounts import Person, Role
from models.errors import LinkInvalid
from models.guard import commit
from wire.passwords import hash_password
from wire.tokens import BadToken, Purpose, Tokens

LINK_AGE_S: Final = 24 * 3600
"""How long a link that proves an address is good. Another one can be asked for at any time."""

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=accounts.MAX_EMAIL_CHARS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=accounts.MAX_NAME_CHARS)]
Asked = Request[Any, Any, Any]


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants an account. Nobody registers as an admin."""

    email: Email
    password: Password
    first_name: Name
    last_name: Name
    user_type: Literal["client", "freelancer"]


class Verification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a mailed link."""

    token: Token


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one may change of oneself here; absent fields stay."""

    first_name: Name | msgspec.UnsetType = msgspec.UNSET
    last_name: Name | msgspec.UnsetType = msgspec.UNSET


class AddressChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The address to be, and the present password."""

    new_email: Email
    password: Password


class PersonOut(msgspec.Struct, frozen=True):
    """An account as its owner sees it."""

    id: int
    email: str
    first_name: str
    last_name: str
    user_type: Role
    email_verified: bool


class Verified(msgspec.Struct, frozen=True):
    """The address is believed."""

    email_verified: bool = True


def show(person: Person) -> PersonOut:
    """The account as it is answered."""
    return PersonOut(person.id, person.email, person.first_name, person.last_name, person.role, person.email_verified)


async def believe(request: Asked, token: str) -> None:
    """Believe the address that this link was mailed to, the account's own or one that replaces it.

    Raises LinkInvalid, EmailTaken.
    """
    tokens: Tokens = request.app.state.tokens
    for purpose, verb in ((Purpose.EMAIL_VERIFICATION, addresses.verify), (Purpose.EMAIL_CHANGE, addresses.change)):
        try:
            mail_id = tokens.read_link(purpose, token, LINK_AGE_S)
        except BadToken:
            continue
        await commit(verb, mail_id, visitor_of(request))
        return
    raise LinkInvalid("This link is not valid, or has expired. Ask for another one.", field="token")


@post("/register", opt=PUBLIC | {"limit": "5/3600"}, security=ANYBODY)
async def register(data: JSONBody[Registration]) -> PersonOut:
    """Make an account; a welcome and a verification mail follow. 409 when the address has one."""
    # Hashed before anything is looked up: a taken address takes as long as a free one, and no transaction waits.
    password_hash = await hash_password(passwords.check(data.password))
    person = await commit(
        accounts.register,
        email=data.email,
        password_hash=password_hash,
        first_name=data.first_name,
        last_name=data.last_name,
        role=Role(data.user_type),
    )
    return show(person)


@get("/me", guards=[signed_in])
async def read_me(caller: Asking) -> PersonOut:
    """One's own account."""
    return show(await accounts.read(caller.id))


@patch("/me", guards=[signed_in])
async def edit_me(caller: Asking, data: JSONBody[Names]) -> PersonOut:
    """Change one's names."""
    first, last = (None if one is msgspec.UNSET else one for one in (data.first_name, data.last_name))
    return show(await commit(accounts.rename, caller.id, first_name=first, last_name=last))


@post("/verify-email", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def verify_email(request: Asked, data: JSONBody[Verification]) -> Verified:
    """Prove an address with the token of the mail that went to it. Pressing twice is no error."""
    await believe(request, data.token)
    return Verified()


# Whoever registers somebody else's address must not have it written to all day.
@post("/resend-verification", status_code=202, guards=[signed_in], opt={"limit": "10/86400"})
async def resend_verification(caller: Asking) -> None:
    """Another verification mail, at most one a minute; nothing for a verified account."""
    await commit(addresses.ask_verification, caller.id)


# Each call may write to a stranger's mailbox.
@post("/change-email", status_code=202, guards=[signed_in], opt={"limit": "10/3600"})
async def change_email(caller: Asking, data: JSONBody[AddressChange]) -> None:
    """Ask for another address: a link is mailed to it, and the change is made when it is followed.

    The answer is the same when somebody has that address; then nothing is mailed.
    """
    await require_step_up(caller)
    accounts.email_key(data.new_email, "new_email")
    await prove_password(caller, data.password)
    await commit(addresses.ask_change, caller.id, data.new_email, session_id=caller.session_id)


router = Router(
    "/api/auth",
    route_handlers=[register, read_me, edit_me, verify_email, resend_verification, change_email],
    tags=["auth"],
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
