"""Tokens: ours are believed, and every kind of forgery is not."""

import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt
import pytest

from wire import tokens as module
from wire.keys import derive
from wire.tokens import AUDIENCE, ISSUER, BadToken, Purpose, RefreshClaims, Tokens

KEY, OLD = "k" * 40, "o" * 40
SESSION = UUID("01a20433-06b7-73f0-8153-89b0a8b53014")
MAILED = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {
        "typ": "access",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        # Made when the tests are collected: a forgery must not be refused for its age alone.
        "exp": now + 86400,
        "sub": "7",
        "role": "client",
        "sid": str(SESSION),
        **changed,
    }
    return {name: value for name, value in said.items() if value is not None}


def signed(said: dict[str, Any], *, key: str = KEY, algorithm: str = "HS256", **header: Any) -> str:
    kid = derive(key, "kid", 6).hex()
    secret = derive(key, "tokens", 64) if algorithm != "none" else ""
    return jwt.encode(said, secret, algorithm=algorithm, headers={"kid": kid, **header})


def link_at(tokens: Tokens, moment: datetime = MAILED, mail_id: int = 5) -> str:
    return tokens.link_token(Purpose.EMAIL_VERIFICATION, mail_id, moment)


def test_an_access_token_says_who_and_until_when():
    before = int(time.time())
    found = Tokens(KEY, access_minutes=30)
    read = found.read_access(found.issue_access(7, "client", SESSION))
    assert (read.user_id, read.role, read.session_id) == (7, "client", SESSION)
    assert before + 1800 <= read.expires_at <= before + 1802


def test_a_refresh_token_says_which_of_its_session_it_is():
    tokens = Tokens(KEY)
    assert tokens.read_refresh(tokens.issue_refresh(SESSION, 3)) == RefreshClaims(SESSION, 3)


def test_a_handmade_token_like_ours_is_good_so_that_the_refusals_below_mean_something():
    assert Tokens(KEY).read_access(signed(claims())).user_id == 7


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_every_algorithm_that_settings_allow_works(algorithm: str):
    tokens = Tokens(KEY, algorithm=algorithm)
    token = tokens.issue_access(7, "client", SESSION)
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    assert tokens.read_access(token).user_id == 7


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(signed(claims(), algorithm="none"), id="alg none"),
        pytest.param(signed(claims(), algorithm="HS512"), id="another algorithm"),
        pytest.param(signed(claims(), key="x" * 40), id="another key"),
        pytest.param(signed(claims(), key="x" * 40, kid=derive(KEY, "kid", 6).hex()), id="another key under our kid"),
        pytest.param(signed(claims(), kid="../../etc/passwd"), id="a kid of nobody"),
        pytest.param(signed(claims(iss="somebody")), id="another issuer"),
        pytest.param(signed(claims(iss=None)), id="no issuer"),
        pytest.param(signed(claims(aud="another-api")), id="another audience"),
        pytest.param(signed(claims(aud=None)), id="no audience"),
        pytest.param(signed(claims(exp=int(time.time()) - 1)), id="expired"),
        pytest.param(signed(claims(exp=None)), id="no expiry"),
        pytest.param(signed(claims(iat=None)), id="no time of issue"),
        pytest.param(signed(claims(typ="refresh")), id="a refresh token's type"),
        pytest.param(signed(claims(typ=None)), id="no type"),
        pytest.param(signed(claims(sub="seven")), id="a subject that is no number"),
        pytest.param(signed(claims(sub="0")), id="nobody"),
        pytest.param(signed(claims(sub=None)), id="no subject"),
        pytest.param(signed(claims(sid="x")), id="a session that is no id"),
        pytest.param(signed(claims(sid=7)), id="a session of the wrong type"),
        pytest.param(signed(claims(role=None)), id="no role"),
        pytest.param("", id="nothing"),
        pytest.param("a.b.c", id="no JWT"),
        pytest.param("ä.ö.ü", id="no ASCII"),
        pytest.param("e" * 5000, id="too long"),
    ],
)
def test_no_forged_access_token_is_read(forged: str):
    with pytest.raises(BadToken):
        Tokens(KEY).read_access(forged)


def test_a_changed_signature_is_refused():
    tokens = Tokens(KEY)
    token = tokens.issue_access(7, "client", SESSION)
    head, body, signature = token.split(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    with pytest.raises(BadToken):
        tokens.read_access(f"{head}.{body}.{flipped}")


@pytest.mark.parametrize(
    "said",
    [
        claims(),
        claims(typ="refresh"),
        claims(typ="refresh", gen="1"),
        claims(typ="refresh", gen=0),
        claims(typ="refresh", gen=1, sid=None),
    ],
)
def test_what_is_no_refresh_token_is_not_read_as_one(said: dict[str, Any]):
    with pytest.raises(BadToken):
        Tokens(KEY).read_refresh(signed(said))


def test_an_earlier_key_verifies_and_signs_nothing():
    token = Tokens(OLD).issue_access(7, "client", SESSION)
    rotated = Tokens(KEY, [OLD])
    assert rotated.read_access(token).user_id == 7
    with pytest.raises(BadToken):
        Tokens(OLD).read_access(rotated.issue_access(7, "client", SESSION))


def test_a_cached_token_expires_all_the_same():
    now = time.time()
    moment = [now]
    tokens = Tokens(KEY, access_minutes=1, clock=lambda: moment[0])
    token = tokens.issue_access(7, "client", SESSION)
    assert tokens.read_access(token) is tokens.read_access(token)
    moment[0] = now + 61
    with pytest.raises(BadToken, match="expired"):
        tokens.read_access(token)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CACHED_TOKENS", 2)
    tokens = Tokens(KEY)
    issued = [tokens.issue_access(n, "client", SESSION) for n in (1, 2, 3)]
    for token in issued:
        tokens.read_access(token)
    assert list(tokens._known) == issued[1:]


def test_a_link_is_the_same_at_each_rendering_and_names_its_mail():
    tokens = Tokens(KEY, clock=lambda: MAILED.timestamp() + 10)
    assert link_at(tokens) == link_at(tokens)
    assert tokens.read_link(Purpose.EMAIL_VERIFICATION, link_at(tokens), 60) == 5


def test_a_link_ends():
    token = link_at(Tokens(KEY))
    late = Tokens(KEY, clock=lambda: MAILED.timestamp() + 61)
    with pytest.raises(BadToken, match="expired"):
        late.read_link(Purpose.EMAIL_VERIFICATION, token, 60)


def test_a_link_for_one_purpose_is_nothing_for_another():
    tokens = Tokens(KEY, clock=MAILED.timestamp)
    with pytest.raises(BadToken):
        tokens.read_link(Purpose.PASSWORD_RESET, link_at(tokens), 60)


def test_a_link_of_an_earlier_key_still_works_and_of_a_foreign_one_never():
    now = MAILED.timestamp()
    assert Tokens(KEY, [OLD], clock=lambda: now).read_link(Purpose.EMAIL_VERIFICATION, link_at(Tokens(OLD)), 60) == 5
    with pytest.raises(BadToken):
        Tokens(KEY, clock=lambda: now).read_link(Purpose.EMAIL_VERIFICATION, link_at(Tokens("x" * 40)), 60)


@pytest.mark.parametrize(
    "token", ["", "x", "ä", "A" * 63, "A" * 64, "A" * 1000, urlsafe_b64encode(b"\0" * 16).decode()]
)
def test_what_is_no_link_is_refused(token: str):
    with pytest.raises(BadToken):
        Tokens(KEY).read_link(Purpose.EMAIL_VERIFICATION, token, 60)


def test_a_link_has_one_spelling():
    tokens = Tokens(KEY, clock=MAILED.timestamp)
    with pytest.raises(BadToken):
        tokens.read_link(Purpose.EMAIL_VERIFICATION, link_at(tokens) + "\n", 60)


def test_keys_are_derived_as_rfc_5869_says():
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    for length in (6, 32, 64):
        expected = HKDF(algorithm=SHA256(), length=length, salt=None, info=b"megilance:x").derive(KEY.encode())
        assert derive(KEY, "x", length) == expected
