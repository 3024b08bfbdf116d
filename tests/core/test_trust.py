from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.bundle_samples import TRUST
from tests.core.make_bundle_vectors import no_file
from tests.core.reading_samples import KID, PUBLIC
from tests.core.real_bitcoin import GENESIS_HEADER, HEADER_1, HEADER_2
from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ
from tests.core.test_log_vectors import CHECKPOINT
from wattseal.core.bitcoin.digest import to_display
from wattseal.core.bitcoin.header import parse_header
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.refusal import Refusal
from wattseal.core.trust import MAX_TRUST_BYTES, Trust, TrustedKey, parse_trust

LOG = Ed25519Signer("log.example", bytes(32)).verifier
HEADERS = GENESIS_HEADER + HEADER_1 + HEADER_2
HASHES = [parse_header(raw).hash() for raw in (GENESIS_HEADER, HEADER_1, HEADER_2)]
KEY = f'version = 1\n[[device_key]]\npublic_key = "{PUBLIC.hex()}"\n'
CHAIN = 'version = 1\n[[chain]]\nname = "bitcoin"\n'


def parse(text: str) -> Trust:
    return parse_trust(text, no_file)


def parse_with_headers(text: str) -> Trust:
    return parse_trust(
        text, {"headers": HEADERS, "empty": b"", "cut": HEADERS[:-1], "gap": GENESIS_HEADER + HEADER_2}.__getitem__
    )


def test_nobody_is_trusted_by_default() -> None:
    assert parse("version = 1\n") == Trust()
    assert (Trust().log("a"), Trust().key(KID), Trust().chain("bitcoin")) == (None, None, None)


def test_a_log() -> None:
    text = f'version = 1\n[[log]]\norigin = "log.example"\nvkey = "{LOG.vkey}"\n'
    log = parse(text).log("log.example")
    assert log is not None
    assert (log.verifier, log.simulated, log.last_seen) == (LOG, False, None)
    assert parse(text).log("log.example2") is None
    seen = parse(f'{text}simulated = true\nlast_seen = """\n{CHECKPOINT["note"]}"""\n').log("log.example")
    assert seen is not None
    assert (seen.simulated, seen.last_seen) == (True, CHECKPOINT["note"].encode())


def test_a_device_key() -> None:
    assert parse(KEY).key(KID) == TrustedKey(PUBLIC, False, None, None, None, None, None, None)
    assert parse(KEY).key(bytes(16)) is None
    limited = (
        'simulated = true\nsite_id = "a"\niot_device_id = "b"\nmeter_id = "c"\n'
        'valid_from = 2025-12-01T00:00:00Z\nvalid_until = "2025-12-02T01:00:00+01:00"\nprovenance = "provisioned"\n'
    )
    expected = TrustedKey(PUBLIC, True, "a", "b", "c", 1_764_547_200, 1_764_633_600, "provisioned")
    assert parse(KEY + limited).key(KID) == expected


def test_a_policy() -> None:
    trust = parse(TRUST["policy with a witness"])
    assert trust.policy is not None
    assert trust.policy.quorum == "w"
    assert parse(TRUST["log alone"]).policy is None


def test_the_blocks_of_a_chain() -> None:
    block = f'{{height = 1, hash = "{to_display(HASHES[1])}"}}'
    chain = parse(f'{CHAIN}blocks = [{block}]\nmin_work = "00ff"\n').chain("bitcoin")
    assert chain is not None
    assert (chain.known_blocks, chain.min_work, chain.simulated) == ({1: HASHES[1]}, 255, False)
    assert parse(CHAIN).chain("simulated") is None


def test_the_headers_of_a_chain() -> None:
    chain = parse_with_headers(f'{CHAIN}headers_file = "headers"\nfirst_height = 0\n').chain("bitcoin")
    assert chain is not None
    assert chain.known_blocks == dict(enumerate(HASHES))
    for name in ("empty", "cut", "gap"):
        text = f'{CHAIN}headers_file = "{name}"\nfirst_height = 0\n'
        assert refusal_of(parse_with_headers, text).field == "chain.headers_file"


def test_a_chain_has_one_block_at_a_height() -> None:
    first, second = (to_display(block_hash) for block_hash in HASHES[:2])
    headers = f'{CHAIN}headers_file = "headers"\nfirst_height = 0\n'
    for text, is_refused in (
        (f'{headers}blocks = [{{height = 1, hash = "{second}"}}]\n', False),
        (f'{headers}blocks = [{{height = 1, hash = "{first}"}}]\n', True),
        (f'{CHAIN}blocks = [{{height = 1, hash = "{first}"}}, {{height = 1, hash = "{first}"}}]\n', False),
        (f'{CHAIN}blocks = [{{height = 1, hash = "{first}"}}, {{height = 1, hash = "{second}"}}]\n', True),
    ):
        if is_refused:
            refusal = refusal_of(parse_with_headers, text)
            assert (refusal.field, refusal.reason) == ("chain.blocks", "the block 1 is given with two hashes")
        else:
            assert parse_with_headers(text).chain("bitcoin") is not None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("version = true\n", "version"),
        ('version = "1"\n', "version"),
        ("version = 1e0\n", "trust"),
        ("version = inf\n", "trust"),
        ("version = 1\nat = 07:32:00\n", "trust"),
        ("version = 1\nat = 2025-12-01\n", "trust"),
        ("version = 1\nversion = 1\n", "trust"),
        (f"version = {'1' * 5_000}\n", "trust"),
        (f"version = 0x{'f' * 5_000}\n", "version"),
        (f"version = 1\na = {'[' * 100_000}\n", "trust"),
        (f"version = 1\n{'.'.join('a' * 5_000)} = 1\n", "trust"),
        (f"version = 1\na = {'[' * 200}{']' * 200}\n", "a"),
        ("version = 1\n[policy]\n", "policy.text"),
        ('version = 1\n[policy]\ntext = "\ud800"\n', "trust"),
        ("version = 1\n[policy]\ntext = 1\n", "policy.text"),
        ('version = 1\n[policy]\ntext = "quorum none"\ncolour = 1\n', "policy.colour"),
        ("version = 1\n[[policy]]\n", "policy"),
        ("version = 1\n[log]\n", "log"),
        ('version = 1\n[[log]]\norigin = "a"\nvkey = 1\n', "log.vkey"),
        ('version = 1\n[[log]]\norigin = "a"\nvkey = "a+b"\n', "vkey"),
        (f"{TRUST['log alone']}simulated = 1\n", "log.simulated"),
        (f"{TRUST['log alone']}last_seen = false\n", "log.last_seen"),
        (f'{KEY}site_id = "a/b"\n', "device_key.site_id"),
        (f"{KEY}meter_id = 1\n", "device_key.meter_id"),
        (f"{KEY}valid_from = 1\n", "device_key.valid_from"),
        (f"{KEY}valid_until = 2025-12-01T00:00:00.5Z\n", "device_key.valid_until"),
        (f"{KEY}valid_until = 1969-12-31T23:59:59Z\n", "device_key.valid_until"),
        (f'{CHAIN}min_work = "0"\n', "chain.min_work"),
        (f"{CHAIN}min_work = 1\n", "chain.min_work"),
        (f'{CHAIN}min_work = "00"\n', "min_work"),
        (f"{CHAIN}blocks = [1]\n", "chain.blocks"),
        (f'{CHAIN}blocks = [{{height = -1, hash = "{"00" * 32}"}}]\n', "chain.blocks.height"),
        (f'{CHAIN}blocks = [{{height = 1, hash = "{"00" * 31}"}}]\n', "hash"),
        (f'{CHAIN}blocks = [{{height = 1, hash = "{"00" * 32}", work = 1}}]\n', "chain.blocks.work"),
        (f'{CHAIN}headers_file = "headers"\n', "chain.first_height"),
        (f"{CHAIN}simulated = true\n", "simulated"),
        ('version = 1\n[[chain]]\nname = "dogecoin"\n', "chain"),
        (CHAIN + CHAIN.split("\n", 1)[1], "chain.name"),
        ("#" * (MAX_TRUST_BYTES + 1), "trust"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_what_is_refused(text: str, field: str) -> None:
    assert refusal_of(parse, text).field == field


SAMPLES = sorted(TRUST.values())


@FUZZ
@given(st.text(max_size=60) | st.text(st.sampled_from("version = 1\n[[log]]{}\"'.-:T0,#"), max_size=60))
@example("\ud800")
@example("version = 1\r\n")
def test_any_text_is_trust_or_refused(text: str) -> None:
    found = outcome(parse, text)
    assert found == Trust() or isinstance(found, Refusal)


@FUZZ
@given(st.sampled_from(SAMPLES), st.data())
def test_a_changed_text_is_trust_or_refused(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    insert = data.draw(st.sampled_from(["", "1", '"', "\n", "[", "=", "true", "\x00", "\ud800", "\u00e9"]))
    found = outcome(parse, text[:at] + insert + text[at + data.draw(st.integers(0, 3)) :])
    assert isinstance(found, Trust | Refusal)


VALUES = st.sampled_from(
    [
        "1",
        "-1",
        "true",
        '""',
        '"a"',
        "[]",
        "[1]",
        "[{}]",
        "{}",
        "2025-12-01T00:00:00Z",
        "2025-12-01",
        "1.5",
        '"00"',
        "nan",
    ]
)


@FUZZ
@given(st.sampled_from(SAMPLES), VALUES, st.data())
def test_any_value_in_the_place_of_another_is_trust_or_refused(text: str, value: str, data: st.DataObject) -> None:
    lines = text.split("\n")
    assigned = [at for at, line in enumerate(lines) if " = " in line and not line.startswith(" ")]
    at = data.draw(st.sampled_from(assigned))
    lines[at] = f"{lines[at].split(' = ')[0]} = {value}"
    assert isinstance(outcome(parse, "\n".join(lines)), Trust | Refusal)
