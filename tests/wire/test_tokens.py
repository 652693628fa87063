"""Tokens: ours are believed, and every kind of forgery is not."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

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


def _part(said: Any) -> str:
    return urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


def unsigned(said: dict[str, Any], algorithm: str) -> str:
    """A token that nobody signed."""
    return f"{_part({'alg': algorithm, 'typ': 'JWT', 'kid': derive(KEY, 'kid', 6).hex()})}.{_part(said)}."


def by_hand(said: dict[str, Any], **header: Any) -> str:
    """A token with a good signature of ours under any header; None takes a member out."""
    head = {"alg": "HS256", "typ": "JWT", "kid": derive(KEY, "kid", 6).hex(), **header}
    text = f"{_part({name: value for name, value in head.items() if value is not None})}.{_part(said)}"
    mac = hmac.digest(derive(KEY, "tokens", 64), text.encode(), "sha256")
    return f"{text}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


def confused(said: dict[str, Any]) -> str:
    """A token of somebody's own RSA key under our kid, as where the header chooses how to verify."""
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(said, own, algorithm="RS256", headers={"kid": derive(KEY, "kid", 6).hex()})


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
    for token in (signed(claims()), by_hand(claims())):
        assert Tokens(KEY).read_access(token).user_id == 7


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
        pytest.param(signed(claims(aud=[])), id="an audience of nobody"),
        pytest.param(signed(claims(nbf=int(time.time()) + 3600)), id="not good yet"),
        pytest.param(signed(claims(iat="now")), id="a time of issue that is none"),
        pytest.param(signed(claims(exp="never")), id="an expiry that is none"),
        pytest.param(by_hand(claims(), kid=None), id="no kid"),
        pytest.param(by_hand(claims(), kid=["x"]), id="a kid that is no text"),
        pytest.param(by_hand(claims(), alg="None"), id="alg none in other letters, on a signature"),
        pytest.param(confused(claims()), id="our key as if it were a public one"),
        pytest.param(unsigned(claims(), "none"), id="alg none by hand"),
        pytest.param(unsigned(claims(), "NoNe"), id="alg NoNe by hand"),
        pytest.param(unsigned(claims(), "HS256"), id="an empty signature"),
        pytest.param(signed(claims(), jwk={"kty": "oct", "k": "eA"}, key="x" * 40), id="a key that the token brings"),
        pytest.param(by_hand(claims(), crit=["b64"], b64=False), id="an extension that nobody here knows"),
        pytest.param(signed(claims(typ="refresh")), id="a refresh token's type"),
        pytest.param(signed(claims(typ="mfa")), id="a ticket's type"),
        pytest.param(signed(claims(typ="ACCESS")), id="a type in other letters"),
        pytest.param(signed(claims(typ=["access"])), id="a list of types"),
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


def test_no_kind_of_token_is_read_as_another():
    tokens = Tokens(KEY)
    of_kind = {
        "access": tokens.issue_access(7, "client", SESSION),
        "refresh": tokens.issue_refresh(SESSION, 1),
        "mfa": tokens.issue_ticket(SESSION),
        "link": tokens.link_token(Purpose.PASSWORD_RESET, 5, datetime.now(UTC)),
    }
    readers = {
        "access": tokens.read_access,
        "refresh": tokens.read_refresh,
        "mfa": tokens.read_ticket,
        "link": lambda token: tokens.read_link(Purpose.PASSWORD_RESET, token, 60),
    }
    for kind, token in of_kind.items():
        for reading, read in readers.items():
            if reading == kind:
                read(token)
                continue
            with pytest.raises(BadToken):
                read(token)


def test_a_ticket_names_one_and_ends_after_five_minutes():
    now = time.time()
    moment = [now]
    tokens = Tokens(KEY, clock=lambda: moment[0])
    assert tokens.read_ticket(tokens.issue_ticket(SESSION)) == SESSION
    said = jwt.decode(tokens.issue_ticket(SESSION), options={"verify_signature": False})
    assert said["exp"] - said["iat"] == 300
    assert set(said) == {"typ", "iss", "aud", "iat", "exp", "tid"}  # nobody's id, no role, no session


@pytest.mark.parametrize("said", [claims(typ="mfa"), claims(typ="mfa", tid=7), claims(typ="mfa", tid="x"), claims()])
def test_what_is_no_ticket_is_not_read_as_one(said: dict[str, Any]):
    with pytest.raises(BadToken):
        Tokens(KEY).read_ticket(signed(said))


def test_a_refresh_token_is_the_same_for_the_same_moment_of_issue_byte_for_byte():
    tokens = Tokens(KEY)
    later = Tokens(KEY, clock=lambda: time.time() + 9)
    recent = datetime.now(UTC)
    assert tokens.issue_refresh(SESSION, 2, recent) == later.issue_refresh(SESSION, 2, recent)
    assert tokens.issue_refresh(SESSION, 2, recent) != tokens.issue_refresh(SESSION, 3, recent)


def test_a_refresh_token_lives_seven_days_from_its_issue():
    tokens = Tokens(KEY)
    young, old = (datetime.fromtimestamp(time.time() - 7 * 86400 + left, UTC) for left in (60, -60))
    assert tokens.read_refresh(tokens.issue_refresh(SESSION, 2, young)).generation == 2
    with pytest.raises(BadToken):
        tokens.read_refresh(tokens.issue_refresh(SESSION, 2, old))


def test_a_code_is_six_digits_of_its_row_and_fits_under_an_earlier_key():
    code = Tokens(OLD).code(5, MAILED)
    assert (len(code), code.isdigit()) == (6, True)
    assert Tokens(KEY, [OLD]).fits_code(5, MAILED, code)
    assert Tokens(OLD).code(5, MAILED) == code
    assert not Tokens(KEY, [OLD]).fits_code(6, MAILED, code)
    for wrong in ("", code[:5], code + "0", "१२३४५६", f" {code}"):
        assert not Tokens(KEY, [OLD]).fits_code(5, MAILED, wrong)


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
