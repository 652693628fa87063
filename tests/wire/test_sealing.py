"""What is sealed stays sealed to whoever lacks the key."""

import pytest

from wire.sealing import SealBroken, Sealer

KEY, OLD = "k" * 40, "o" * 40


def test_what_is_sealed_is_unseen_and_comes_back():
    sealer = Sealer(KEY)
    sealed = sealer.seal("pi_1_secret_ü")
    assert "secret" not in sealed
    assert sealer.unseal(sealed) == "pi_1_secret_ü"
    assert sealer.seal("pi_1_secret_ü") != sealed


def test_an_earlier_key_unseals_and_seals_nothing():
    assert Sealer(KEY, [OLD]).unseal(Sealer(OLD).seal("x")) == "x"
    with pytest.raises(SealBroken):
        Sealer(OLD).unseal(Sealer(KEY, [OLD]).seal("x"))


@pytest.mark.parametrize("sealed", ["", "x", "gAAAAA", "ä"])
def test_what_we_did_not_seal_is_refused(sealed: str):
    with pytest.raises(SealBroken):
        Sealer(KEY).unseal(sealed)


def test_a_changed_seal_is_refused():
    sealed = Sealer(KEY).seal("x")
    with pytest.raises(SealBroken):
        Sealer(KEY).unseal(sealed[:-5] + ("A" if sealed[-5] != "A" else "B") + sealed[-4:])


def test_only_what_the_present_key_sealed_is_current():
    rotated = Sealer(KEY, [OLD])
    assert rotated.is_current(rotated.seal("x"))
    assert not rotated.is_current(Sealer(OLD).seal("x"))
    assert not rotated.is_current("ä")
