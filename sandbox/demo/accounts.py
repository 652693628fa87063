"""Getting in, as its owner and as a thief: a second factor, a code that works once, a stolen token, a lost password."""

import re
from typing import Any, Final

import pyotp

from sandbox.demo.story import Story
from sandbox.people import Person, UnexpectedAnswerError

RESET: Final = r"reset-password\?token=([^\s&]+)"


def protect(story: Story) -> None:
    """The freelancer sets up a second factor, signs in with it, and no code of it works twice."""
    telling, freelancer = story.telling, story.freelancer
    telling.step("The freelancer protects the account with a second factor")
    made = freelancer.call("POST", "/api/auth/2fa/enable")
    telling.fact("backup codes", len(made["backup_codes"]), 8)
    telling.fact("a QR code is a picture", made["qr_code"].startswith("data:image/png;base64,"), True)
    totp = pyotp.TOTP(made["secret"])
    spent = totp.now()
    freelancer.call("POST", "/api/auth/2fa/confirm", {"code": spent})
    telling.fact("a mail tells", story.desk.letter(freelancer.email, "two-step")["to"] != "", True)

    asked = _log_in(freelancer)
    told = (asked["requires_2fa"], asked["access_token"])
    telling.fact("the password alone opens nothing", told, (True, None))
    used = {"mfa_token": asked["mfa_token"], "code": spent}
    telling.fact("the code that confirmed it is used up", _status(freelancer, "/api/auth/2fa/verify", used), 401)
    backup = {"mfa_token": asked["mfa_token"], "code": made["backup_codes"][0]}
    pair = freelancer.call("POST", "/api/auth/2fa/verify", backup)
    again = {**backup, "mfa_token": _log_in(freelancer)["mfa_token"]}
    telling.fact("a backup code works, once", _status(freelancer, "/api/auth/2fa/verify", again), 401)
    freelancer.token = pair["access_token"]
    _lose_a_refresh_token(story, pair)
    freelancer.totp = totp
    freelancer.sign_in()
    telling.fact("the next code of the app signs in", freelancer.call("GET", "/api/auth/me")["id"], freelancer.id)


def _lose_a_refresh_token(story: Story, pair: dict[str, Any]) -> None:
    """Two tabs share a moment; whoever comes later with a used token ends the session for both."""
    telling, freelancer = story.telling, story.freelancer
    spent = {"refresh_token": pair["refresh_token"]}
    first = freelancer.call("POST", "/api/auth/refresh", spent)
    tab = freelancer.call("POST", "/api/auth/refresh", spent)
    same = tab["refresh_token"] == first["refresh_token"]
    telling.fact("a second tab that refreshes at the same moment gets the same token", same, True)
    freelancer.call("POST", "/api/auth/refresh", {"refresh_token": first["refresh_token"]})
    thief = _status(freelancer, "/api/auth/refresh", spent)
    telling.fact("the first token, two generations later, is a thief's", thief, 401)
    telling.fact("and its whole session has ended", freelancer.send("GET", "/api/auth/me").status_code, 401)


def forget(story: Story) -> None:
    """The client resets a forgotten password by the mailed link, and an old session stops at once."""
    telling, client = story.telling, story.client
    telling.step("The client forgets the password")
    for email in (client.email, "nobody@example.test"):
        client.call("POST", "/api/auth/forgot-password", {"email": email}, expect=202)
    text = story.desk.letter(client.email, "password")["text"]
    found = re.search(RESET, text)
    if not found:
        raise UnexpectedAnswerError(f"the mail has no link:\n{text}")
    client.password += "x"
    body = {"token": found[1], "new_password": client.password}
    client.call("POST", "/api/auth/reset-password", body)
    telling.fact("the link works once", _status(client, "/api/auth/reset-password", body), 422)
    telling.fact("the old session has ended", client.send("GET", "/api/auth/me").status_code, 401)
    client.sign_in()
    kinds = [one["kind"] for one in client.call("GET", "/api/security/events")["items"]]
    telling.fact("the client can read what happened", "password_reset" in kinds, True)


def _log_in(person: Person) -> dict[str, Any]:
    found: dict[str, Any] = person.call("POST", "/api/auth/login", {"email": person.email, "password": person.password})
    return found


def _status(person: Person, path: str, body: dict[str, Any]) -> int:
    return person.send("POST", path, body).status_code
