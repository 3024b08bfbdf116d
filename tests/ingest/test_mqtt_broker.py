from __future__ import annotations

from pathlib import Path

import pytest

from wattseal.core.refusal import Refusal
from wattseal.ingest.mqtt_broker import Address, Broker, parse_loopback, parse_url, read_password, tls_context


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker.example", Address("broker.example", 1_883, is_tls=False)),
        ("mqtts://broker.example", Address("broker.example", 8_883, is_tls=True)),
        ("mqtt://127.0.0.1:1884/", Address("127.0.0.1", 1_884, is_tls=False)),
        ("mqtts://[::1]:99", Address("::1", 99, is_tls=True)),
    ],
)
def test_an_address(url: str, address: Address) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "broker",
        "http://broker",
        "mqtt://",
        "mqtt://a/topic",
        "mqtt://a:99999",
        "mqtt://u:secret@a",
        "mqtt://a?x",
        "mqtt://[a",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parse_url(url)
    assert refusal.value.field == "mqtt_url"
    assert "secret" not in str(refusal.value)


def test_an_embedded_broker_is_for_this_machine_alone() -> None:
    assert parse_loopback("127.0.0.1:1883") == ("127.0.0.1", 1_883)
    for address in ("0.0.0.0:1883", "1883", "192.0.2.1:1883", "127.0.0.1:x", "127.0.0.1:70000"):
        with pytest.raises(Refusal, match="Mosquitto"):
            parse_loopback(address)


def test_the_password_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("geheim\n")
    password = read_password(path)
    assert password == "geheim"
    assert "geheim" not in repr(Broker("h", 1, "t", user="u", password=password))
    with pytest.raises(Refusal, match="cannot be read"):
        read_password(tmp_path / "none")


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("wrong")
    for files, field in (
        ((wrong, None, None), "mqtt_ca_file"),
        ((tmp_path / "none", None, None), "mqtt_ca_file"),
        ((None, wrong, wrong), "mqtt_cert_file"),
        ((None, None, wrong), "mqtt_key_file"),
    ):
        with pytest.raises(Refusal) as refusal:
            tls_context(*files)
        assert refusal.value.field == field
