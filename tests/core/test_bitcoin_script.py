from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.real_bitcoin import TX_170
from wattseal.core.bitcoin.script import op_return_payloads, op_return_pushes, op_return_script
from wattseal.core.bitcoin.tx import Transaction, TxInput, TxOutput, parse_transaction
from wattseal.core.refusal import Refusal


@given(st.binary(min_size=1, max_size=255))
def test_a_payload_comes_back(payload: bytes) -> None:
    script = op_return_script(payload)
    assert op_return_pushes(script) == (payload,)
    assert len(script) == len(payload) + (2 if len(payload) <= 75 else 3)


@pytest.mark.parametrize("length", [0, 256])
def test_payloads_that_do_not_fit(length: int) -> None:
    with pytest.raises(Refusal, match="one push"):
        op_return_script(bytes(length))


@pytest.mark.parametrize(
    ("script", "pushes"),
    [
        ("6a0161", ["61"]),
        ("6a4c0161", ["61"]),
        ("6a0161026263", ["61", "6263"]),
        ("6a4c00", [""]),
        ("6a", []),
        ("", []),
        ("0161", []),
        ("516a0161", []),
        ("6a0261", []),
        ("6a4c", []),
        ("6a4c0261", []),
        ("6a0161ff", []),
        ("6a016100", []),
        ("6a4d010061", []),
        ("6a4e0100000061", []),
        ("6a51", []),
        ("6a01614c", []),
    ],
)
def test_scripts(script: str, pushes: list[str]) -> None:
    assert [pushed.hex() for pushed in op_return_pushes(bytes.fromhex(script))] == pushes


@given(st.binary(max_size=120))
def test_any_script_is_read_to_its_end_or_not_at_all(code: bytes) -> None:
    pushes = op_return_pushes(b"\x6a" + code)
    taken = sum(len(pushed) for pushed in pushes)
    assert pushes == () or len(code) - 2 * len(pushes) <= taken <= len(code) - len(pushes)


def test_payloads_of_all_outputs_in_order() -> None:
    outputs = [TxOutput(5, bytes.fromhex(script)) for script in ("6a0161", "51", "6a51", "6a01620163")]
    tx = Transaction(2, (TxInput(bytes([7] * 32), 0, b"", 0),), tuple(outputs), (), 0)
    assert op_return_payloads(tx) == (b"a", b"b", b"c")
    assert op_return_payloads(parse_transaction(TX_170)) == ()
