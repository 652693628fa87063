"""The tokens of mailed links, as the worker that renders the mails would derive them."""

from datetime import timedelta

from litestar import Litestar

from models import guard
from wire.tokens import Purpose, Tokens

KINDS = {
    "email_verification": Purpose.EMAIL_VERIFICATION,
    "password_reset_request": Purpose.PASSWORD_RESET,
    "email_change": Purpose.EMAIL_CHANGE,
}


async def newest_link(app: Litestar, user_id: int, kind: str, *, age_s: float = 0) -> str:
    """The token of the newest mail of a kind to a person, as if it were so much older."""
    found = await guard.only(
        'select id, created_at from mails where "user" = $1 and kind = $2 order by id desc limit 1', user_id, kind
    )
    tokens: Tokens = app.state.tokens
    return tokens.link_token(KINDS[kind], found["id"], found["created_at"] - timedelta(seconds=age_s))


async def mails_of(user_id: int) -> list[str]:
    """The kinds of mail written to a person, the oldest first, without those of the registration."""
    found = await guard.rows(
        """select kind from mails where "user" = $1 and kind <> 'welcome_email' and key not like 'email_verif%:user:%'
            order by id""",
        user_id,
    )
    return [one["kind"] for one in found]


async def events_of(user_id: int) -> list[str]:
    """What was noted of an account since its first sign-in."""
    found = await guard.rows('select kind from security_events where "user" = $1 order by id', user_id)
    return [one["kind"] for one in found][1:]
