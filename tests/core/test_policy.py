from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.checkpoint import Checkpoint
from wattseal.core.note import Note
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer, SignatureLine
from wattseal.core.policy import Group, Log, Policy, Witness
from wattseal.core.refusal import Refusal

LOG = Ed25519Signer("log.example/energy", bytes(32))
LOG_NEXT_KEY = Ed25519Signer("log.example/energy", bytes([1] * 32))
LOG_TWO = Ed25519Signer("log.example/two", bytes([2] * 32))
X1, X2, X3, Y1, Y2, Y3 = (CosignatureV1Signer(f"witness.example/{n}", bytes([10 + n] * 32)) for n in range(6))
WITNESSES = (X1, X2, X3, Y1, Y2, Y3)
KEYS = {
    name: signer.verifier.vkey for name, signer in zip(("X1", "X2", "X3", "Y1", "Y2", "Y3"), WITNESSES, strict=True)
}

# The example of the specification.
EXAMPLE = f"""
log {LOG.verifier.vkey}

witness X1 {KEYS["X1"]}
witness X2 {KEYS["X2"]}
witness X3 {KEYS["X3"]}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS["Y1"]}
witness Y2 {KEYS["Y2"]}
witness Y3 {KEYS["Y3"]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""

HEAD = Checkpoint("log.example/energy", 3, bytes(range(32)))


def parse(text: str) -> Policy:
    return Policy.parse(text.encode())


def signed(*lines: SignatureLine, head: Checkpoint = HEAD) -> bytes:
    return bytes(Note(head.body(), lines))


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_the_example_of_the_specification() -> None:
    policy = parse(EXAMPLE)
    assert policy.logs == (Log(LOG.verifier),)
    assert [witness.name for witness in policy.witnesses] == list(KEYS)
    assert policy.groups == (
        Group("X-witnesses", 2, ("X1", "X2", "X3")),
        Group("Y-witnesses", 1, ("Y1", "Y2", "Y3")),
        Group("X-and-Y", 2, ("X-witnesses", "Y-witnesses")),
    )
    assert policy.quorum == "X-and-Y"


def test_space_comments_and_urls() -> None:
    policy = parse(
        f"# trust\n \t# more\n\t log\t{LOG.verifier.vkey} \t https://log.example/energy/ \n\n"
        f"quorum none\nwitness \u00e9t\u00e9 {KEYS['X1']} https://witness.example/"
    )
    assert policy.logs == (Log(LOG.verifier, "https://log.example/energy/"),)
    assert policy.witnesses == (Witness("\u00e9t\u00e9", X1.verifier, "https://witness.example/"),)
    assert policy.quorum is None


def test_names_are_octets() -> None:
    start = f"witness K {KEYS['X1']}\nwitness ".encode()
    end = f" {KEYS['X2']}\nquorum ".encode()
    for name in (b"\xff", "\u212a".encode()):  # no UTF-8 at all, and a sign that Unicode would fold into K
        policy = Policy.parse(start + name + end + name)
        assert policy.quorum == policy.witnesses[1].name
        assert not policy.satisfied([X1.verifier])
        assert policy.satisfied([X2.verifier])


GOOD_W = f"witness w1 {KEYS['X1']}\nwitness w2 {KEYS['X2']}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        GOOD_W,
        "quorum none\nquorum none\n",
        "quorum\n",
        "quorum none none\n",
        "quorum w1\n" + GOOD_W,
        "quorum all\n",
        GOOD_W + "quorum w3\n",
        "Quorum none\n",
        "quorum none\r\n",
        "quorum none\x0b\n",
        "quorum none\x7f\n",
        "quorum none\x00",
        "# a bell: \x07\nquorum none\n",
        "quorum none\nhello\n",
        "quorum none\nlog\n",
        f"quorum none\nlog {LOG.verifier.vkey} a b\n",
        f"quorum none\nlog {KEYS['X1']}\n",
        f"quorum none\nlog {LOG.verifier.vkey[:-2]}\n",
        f"quorum none\nlog {LOG.verifier.vkey}\nlog {LOG.verifier.vkey}\n",
        f"quorum none\nlog {LOG.verifier.vkey}\nlog {Ed25519Signer('elsewhere', bytes(32)).verifier.vkey}\n",
        "quorum none\nwitness w1\n",
        f"quorum none\nwitness {KEYS['X1']}\n",
        f"quorum none\nwitness w1 {KEYS['X1']} a b\n",
        f"quorum none\nwitness w1 {LOG.verifier.vkey}\n",
        f"quorum none\nwitness none {KEYS['X1']}\n",
        f"quorum none\nwitness w1 {KEYS['X1']}\nwitness w1 {KEYS['X2']}\n",
        f"quorum none\nwitness w1 {KEYS['X1']}\nwitness w2 {KEYS['X1']}\n",
        GOOD_W + "group g any\nquorum none\n",
        GOOD_W + "group g w1 w2\nquorum none\n",
        GOOD_W + "group g 0 w1 w2\nquorum none\n",
        GOOD_W + "group g 3 w1 w2\nquorum none\n",
        GOOD_W + "group g 01 w1 w2\nquorum none\n",
        GOOD_W + "group g -1 w1 w2\nquorum none\n",
        GOOD_W + "group g 99999 w1 w2\nquorum none\n",
        GOOD_W + "group g \u0661 w1 w2\nquorum none\n",
        GOOD_W + "group g ALL w1 w2\nquorum none\n",
        GOOD_W + "group g any w1 none\nquorum none\n",
        GOOD_W + "group g any w1 w3\nquorum none\n",
        GOOD_W + "group g any g\nquorum none\n",
        GOOD_W + "group g any w1 w1\nquorum none\n",
        GOOD_W + "group g any w1\ngroup h any w1 w2\nquorum none\n",
        GOOD_W + "group w1 any w2\nquorum none\n",
        GOOD_W + "group none any w2\nquorum none\n",
        GOOD_W + "group g any w1\ngroup g any w2\nquorum none\n",
        "quorum none\n" + "#" * (2**18 - 11),
    ],
)
def test_policies_that_are_refused(text: str) -> None:
    with pytest.raises(Refusal):
        parse(text)


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(Refusal, match=r"policy\.line\[3\].*'w3' is not defined"):
        parse(GOOD_W + "quorum w3\n")


def test_how_much_a_policy_may_hold() -> None:
    """The specification asks for at least 32 of each."""
    assert parse("quorum none\n" + "#" * (2**18 - 12)).quorum is None
    text = ""
    for number in range(257):
        seed = number.to_bytes(32, "big")
        text += f"log {Ed25519Signer(f'log{number}', seed).verifier.vkey}\n"
        text += f"witness w{number} {CosignatureV1Signer(f'w{number}', seed).verifier.vkey}\n"
        text += f"group g{number} any w{number}\n"
        if number == 255:
            policy = parse(f"{text}quorum g255\n")
            assert len(policy.logs) == len(policy.witnesses) == len(policy.groups) == 256
            assert policy.satisfied([policy.witnesses[255].verifier])
    with pytest.raises(Refusal, match="more than 256"):
        parse(f"{text}quorum g255\n")


# --- Quorums ----------------------------------------------------------------------------------------------------------


def test_every_set_of_cosigners_of_the_example() -> None:
    policy = parse(EXAMPLE)
    for count in range(7):
        for chosen in combinations(WITNESSES, count):
            enough = len({X1, X2, X3} & set(chosen)) >= 2 and bool({Y1, Y2, Y3} & set(chosen))
            assert policy.satisfied(signer.verifier for signer in chosen) == enough
    assert policy.witnessed([X1.verifier, X3.verifier]) == {"X1", "X3", "X-witnesses"}


@given(st.sets(st.integers(0, 5)), st.integers(1, 6))
def test_thresholds(chosen: set[int], threshold: int) -> None:
    lines = [f"witness {name} {key}\n" for name, key in KEYS.items()]
    policy = parse("".join([*lines, f"group g {threshold} {' '.join(KEYS)}\nquorum g\n"]))
    assert policy.satisfied(WITNESSES[number].verifier for number in chosen) == (len(chosen) >= threshold)


def test_cosignatures_of_strangers_or_repeated_ones_do_not_count() -> None:
    policy = parse(GOOD_W + "group both all w1 w2\nquorum both\n")
    renamed = CosignatureV1Signer("elsewhere", bytes([11] * 32)).verifier
    assert not policy.satisfied([X1.verifier, X1.verifier, Y1.verifier, renamed])
    assert policy.satisfied([X1.verifier, X2.verifier])


# --- Checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_with_enough_cosignatures_opens() -> None:
    policy = parse(EXAMPLE)
    body = HEAD.body()
    enough = [X1.sign(body, 1), X3.sign(body, 2), Y2.sign(body, 3)]
    opened = policy.open(signed(LOG.sign(body), *enough))
    assert (opened.checkpoint, opened.log) == (HEAD, LOG.verifier)
    assert [one.time for one in opened.cosignatures] == [1, 2, 3]
    for missing in range(3):
        with pytest.raises(Refusal, match=r"policy\.quorum"):
            policy.open(signed(LOG.sign(body), *enough[:missing], *enough[missing + 1 :]))
    twice = [X1.sign(body, 1), X1.sign(body, 2), Y2.sign(body, 3)]
    with pytest.raises(Refusal, match=r"policy\.quorum"):
        policy.open(signed(LOG.sign(body), *twice))
    with pytest.raises(Refusal, match="trusted log"):
        policy.open(signed(*enough))


def test_one_bad_cosignature_refuses_the_checkpoint() -> None:
    body = HEAD.body()
    bad = SignatureLine(Y1.verifier.name, Y1.verifier.key_id, X1.sign(body, 1).signature)
    with pytest.raises(Refusal, match="does not fit"):
        parse(EXAMPLE).open(
            signed(LOG.sign(body), X1.sign(body, 1), X2.sign(body, 1), Y2.sign(body, 1), bad),
        )


def test_each_log_speaks_for_its_own_origin() -> None:
    policy = parse(
        "".join(f"log {signer.verifier.vkey}\n" for signer in (LOG, LOG_NEXT_KEY, LOG_TWO)) + "quorum none\n"
    )
    two = Checkpoint("log.example/two", 3, bytes(32))
    assert policy.open(signed(LOG.sign(HEAD.body()))).log == LOG.verifier
    assert policy.open(signed(LOG_NEXT_KEY.sign(HEAD.body()))).log == LOG_NEXT_KEY.verifier
    assert policy.open(signed(LOG_TWO.sign(two.body()), head=two)).log == LOG_TWO.verifier
    both = signed(LOG_TWO.sign(HEAD.body()), LOG_NEXT_KEY.sign(HEAD.body()))
    assert policy.open(both).log == LOG_NEXT_KEY.verifier
    with pytest.raises(Refusal, match="origin"):
        policy.open(signed(LOG_TWO.sign(HEAD.body())))


def test_a_policy_without_logs_opens_nothing() -> None:
    with pytest.raises(Refusal):
        parse("quorum none\n").open(signed(LOG.sign(HEAD.body())))
