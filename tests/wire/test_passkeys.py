"""Passkeys without a server: what is asked, what is believed, and every answer that is not."""

from typing import Any

import pytest

from tests.passkey import Authenticator, text
from wire.passkeys import Asked, Made, PasskeyRefused, RelyingParty, challenge_of

PARTY = RelyingParty.of("http://localhost:3000", "http://localhost:8000", ["http://localhost:3000"])


def made(one: Authenticator) -> Made:
    asked = PARTY.ask_new(7, "user@example.com", "John Doe", [])
    return PARTY.read_new(one.create(asked.options), asked.challenge)


def proof(one: Authenticator, asked: Asked, key: str, *, user_id: int = 7, **changed: Any) -> int:
    return PARTY.read_proof(one.get(asked.options, **changed), asked.challenge, user_id=user_id, public_key=key)


def test_the_party_is_the_web_app_where_there_is_one():
    assert RelyingParty("localhost", ("http://localhost:3000", "http://localhost:8000")) == PARTY
    assert RelyingParty.of("", "https://api.example.com/base", []) == RelyingParty(
        "api.example.com", ("https://api.example.com",)
    )


def test_a_new_passkey_is_asked_for_by_name_and_not_of_who_has_one():
    asked = PARTY.ask_new(7, "user@example.com", "John Doe", [text(b"known")])
    options = asked.options
    assert options["rp"] == {"name": "MegiLance", "id": "localhost"}
    assert options["user"] == {
        "id": text((7).to_bytes(8)), "name": "user@example.com", "displayName": "John Doe"
    }  # fmt: skip
    assert options["excludeCredentials"] == [{"id": text(b"known"), "type": "public-key"}]
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["userVerification"] == "preferred"
    assert options["challenge"] == asked.challenge


def test_a_proof_is_asked_of_known_passkeys_only():
    asked = PARTY.ask_proof([text(b"known")])
    assert asked.options["rpId"] == "localhost"
    assert asked.options["allowCredentials"] == [{"id": text(b"known"), "type": "public-key"}]
    assert asked.options["userVerification"] == "preferred"
    assert PARTY.ask_proof([]).challenge != asked.challenge


def test_a_passkey_is_made_and_signs():
    one = Authenticator(counter=5)
    key = made(one)
    assert (key.credential_id, key.sign_count) == (text(one.id), 5)
    asked = PARTY.ask_proof([key.credential_id])
    answer = one.get(asked.options)
    assert challenge_of(answer) == asked.challenge
    assert PARTY.read_proof(answer, asked.challenge, user_id=7, public_key=key.public_key) == 6
    del answer["response"]["userHandle"]
    assert PARTY.read_proof(answer, asked.challenge, user_id=7, public_key=key.public_key) == 6


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "https://evil.example"},
        {"type": "webauthn.create"},
        {"challenge": text(b"another")},
        {"flags": 0},
    ],
)
def test_an_answer_to_another_question_is_refused(changed: dict[str, Any]):
    one = Authenticator()
    key = made(one)
    with pytest.raises(PasskeyRefused):
        proof(one, PARTY.ask_proof([]), key.public_key, **changed)


def test_an_answer_of_another_key_party_or_user_is_refused():
    one, other = Authenticator(), Authenticator()
    key, others = made(one), made(other)
    asked = PARTY.ask_proof([])
    with pytest.raises(PasskeyRefused):
        proof(one, asked, others.public_key)
    with pytest.raises(PasskeyRefused):
        proof(one, asked, key.public_key, user_id=8)
    one.rp_id = "evil.example"
    with pytest.raises(PasskeyRefused):
        proof(one, asked, key.public_key)


def test_a_passkey_made_for_another_question_is_refused():
    asked = PARTY.ask_new(7, "user@example.com", "John Doe", [])
    for changed in ({"origin": "https://evil.example"}, {"challenge": text(b"x")}, {"type": "webauthn.get"}):
        with pytest.raises(PasskeyRefused):
            PARTY.read_new(Authenticator().create(asked.options, **changed), asked.challenge)


@pytest.mark.parametrize("field", ["clientDataJSON", "attestationObject"])
@pytest.mark.parametrize("value", ["", "AAAA", "!!!!", "ö", text(b"{}"), text(b"[]"), text(b"null"), text(b"\xa0")])
def test_what_no_browser_writes_is_refused(field: str, value: str):
    asked = PARTY.ask_new(7, "user@example.com", "John Doe", [])
    answer = Authenticator().create(asked.options)
    answer["response"][field] = value
    with pytest.raises(PasskeyRefused):
        PARTY.read_new(answer, asked.challenge)


@pytest.mark.parametrize("said", [b"", b"{}", b"[]", b"null", b'{"challenge": 7}', b'{"challenge": "\xff"}'])
def test_an_answer_without_a_challenge_is_refused(said: bytes):
    with pytest.raises(PasskeyRefused):
        challenge_of({"response": {"clientDataJSON": text(said)}})
    with pytest.raises(PasskeyRefused):
        challenge_of({"response": {}})
