"""The settings: which source counts, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattseal.config import Settings, load_settings, settings_text, with_database
from wattseal.core.refusal import Refusal
from wattseal.log.database_url import DatabaseUrl


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WATTSEAL_CONFIG", raising=False)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_last_source_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().port == 8_000
    file = write(tmp_path / "wattseal.toml", "port = 1\n")
    assert load_settings().port == load_settings(file).port == 1
    monkeypatch.setenv("WATTSEAL_PORT", "2")
    assert load_settings(file).port == 2
    assert load_settings(file, port=3, host=None).port == 3


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTSEAL_CONFIG", str(write(tmp_path / "there" / "site.toml", "port = 4\n")))
    assert load_settings().port == 4


def test_the_data_directory_is_the_files_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "a" / "wattseal.toml", 'origin = "x.example/log"\n')
    settings = load_settings(file)
    assert settings.folder == tmp_path / "a"
    assert settings.database_path == tmp_path / "a" / "wattseal.db"
    assert settings.log_key_path == tmp_path / "a" / "log.key"
    assert settings.guard_path == Path.home() / ".local/state/wattseal/x.example_log/guard"
    assert load_settings(write(file, 'data_dir = "/elsewhere"\n')).folder == Path("/elsewhere")
    assert load_settings(write(file, 'guard = "../g"\n')).guard_path == tmp_path / "g"


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("prot = 1", "prot"),
        ("port = 65536", "port"),
        ('port = "x"', "port"),
        ("workers = -1", "workers"),
        ("max_items = 1000000", "max_items"),
        ('origin = "a b"', "origin"),
        ('origin = "a+b"', "origin"),
        ('guard = "guard"', "settings"),
        ('guard = "x/../../a/guard"', "settings"),
        ('chain = "bitcoin"', "chain"),
        ("port = ", "settings"),
        ("port = 1\nport = 2", "settings"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, setting: str) -> None:
    file = write(tmp_path / "a" / "wattseal.toml", text + "\n")
    with pytest.raises(Refusal) as refused:
        load_settings(file)
    assert refused.value.field == setting


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="there is no file"):
        load_settings(tmp_path / "x.toml")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 5


def test_the_database_is_a_file_or_a_place_on_a_server(tmp_path: Path) -> None:
    file = write(tmp_path / "a" / "wattseal.toml", 'database = "postgresql://u:tiger@h/db?schema=plant"\nport = 1\n')
    settings = load_settings(file)
    assert isinstance(settings.store_place, DatabaseUrl)
    assert (settings.store_place.conninfo, settings.store_place.schema) == ("postgresql://u:tiger@h/db", "plant")
    assert "tiger" not in repr(settings) + str(settings.store_place)
    with pytest.raises(Refusal, match=r"is no file but postgresql://u:\*\*\*@h/db"):
        _ = settings.database_path
    written = settings_text(settings)
    assert load_settings(write(tmp_path / "b" / "wattseal.toml", written)).store_place == settings.store_place
    other = DatabaseUrl.parse("postgresql://h/other")
    changed = with_database(f"{written}[table]\n", other)
    assert changed.startswith('database = "postgresql://h/other"\n')
    assert changed.count("database =") == 1
    assert load_settings(write(file, with_database("port = 1\n", other))).store_place == other
    assert load_settings(write(file, 'database = "~/x.db"\n')).store_place == Path.home() / "x.db"


@pytest.mark.parametrize("value", ['"postgresql://u:tiger@h@x/db"', '"postgresql://u:tiger@h/db?schema=A"', "7", "[]"])
def test_a_database_that_is_refused_is_not_repeated(tmp_path: Path, value: str) -> None:
    with pytest.raises(Refusal) as refused:
        load_settings(write(tmp_path / "wattseal.toml", f"database = {value}\n"))
    assert refused.value.field == "database"
    assert "tiger" not in str(refused.value)
