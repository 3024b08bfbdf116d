"""The settings of a server: defaults, then `wattseal.toml`, then WATTSEAL_* in the environment, then the command line.

The last one counts. Unknown settings in the file are refused, so that a misspelled one is not silently a default.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from wattseal.core.note_key import check_name
from wattseal.core.refusal import Refusal
from wattseal.ingest.mqtt_broker import Broker, parse_loopback, parse_url, read_password, tls_context
from wattseal.ingest.mqtt_topic import DEFAULT_FILTER, check_filter
from wattseal.log.database_url import DatabaseUrl, is_database_url
from wattseal.log.durable import sync_folder

FILE_NAME = "wattseal.toml"
FILE_VARIABLE = "WATTSEAL_CONFIG"
"""The environment's way to name the settings file; else `wattseal.toml` in the working directory, if it is there."""


def _origin(value: object) -> object:
    if isinstance(value, str):
        check_name(value)
    return value


def _database(value: object) -> Path | DatabaseUrl:
    if isinstance(value, Path | DatabaseUrl):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a text: a file's path, or a URL like postgresql://user@host/database")  # noqa: TRY004
    try:
        return DatabaseUrl.parse(value) if is_database_url(value) else Path(value)
    except Refusal as refusal:
        raise ValueError(refusal.reason) from None


def _database_text(value: Path | DatabaseUrl) -> str:
    return value.text if isinstance(value, DatabaseUrl) else str(value)


class Settings(BaseSettings):
    """Every setting, with its unit. Relative paths are relative to the data directory."""

    model_config = SettingsConfigDict(
        env_prefix="WATTSEAL_", extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )

    data_dir: Path = Path("wattseal-data")
    """Keys and database; by default the settings file's folder."""
    database: Annotated[Path | DatabaseUrl, PlainValidator(_database), PlainSerializer(_database_text)] = Path(
        "wattseal.db"
    )
    """The database: a file, or a schema on a PostgreSQL server as postgresql://user@host/database?schema=wattseal."""
    guard: Path | None = None
    """The last signed checkpoint, outside of the data directory and its backups (docs/spec/log.md §4)."""
    origin: Annotated[str, BeforeValidator(_origin)] = "localhost/wattseal"
    """The log's name; it can never change."""
    demo: bool = False
    """Say everywhere that this is a demonstration."""
    public_records: bool = False
    """Everybody may read every record, as if all meters were disclosed."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(default=8_000, ge=0, le=65_535)
    """The port to listen on; 0 takes a free one."""
    trusted_proxies: str = ""
    """Addresses of proxies whose X-Forwarded-For counts, comma-separated."""
    max_connections: int = Field(default=1_000, ge=1)
    """Connections at once; further ones get a 503. The system's limit of open files may allow fewer."""
    max_connections_per_address: int = Field(default=200, ge=1)
    """Connections at once from one address, or one /64 network of IPv6; those of trusted proxies are not counted."""
    head_timeout_s: int = Field(default=10, ge=1)
    """How long a sender may take for the head of a request."""
    max_body_bytes: int = Field(default=10_000_000, ge=4_096)
    """The longest request body."""
    max_buffered_bytes: int = Field(default=256_000_000, ge=4_096)
    """All request bodies at once."""
    body_timeout_s: int = Field(default=60, ge=1)
    """How long a sender may take for one body."""
    max_items: int = Field(default=10_000, ge=1, le=50_000)
    """Readings or intervals in one request."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=0, le=256)
    """Processes that check signatures; 0: none, the server does it itself."""
    queue_max: int = Field(default=20_000, ge=1)
    """Readings that may wait to be written; then senders are asked to come back."""
    gap_hold_s: int = Field(default=900, ge=0, le=86_400)
    """How long readings that are ahead of their chain wait for the missing ones."""
    inbox_keep: int = Field(default=1_000, ge=0)
    """How many readings that were refused without a token are kept to look at."""
    anonymous_per_s: int = Field(default=50, ge=1)
    """Readings a second from one address without a token, in the long run."""
    anonymous_burst: int = Field(default=2_000, ge=1)
    """Readings at once from one address without a token."""

    anonymous_large_per_s: int = Field(default=2, ge=1)
    """Bundles and exports a second for one address without a token, in the long run."""
    anonymous_large_burst: int = Field(default=60, ge=1)
    """Bundles and exports at once for one address without a token."""
    mqtt_url: str = ""
    """The broker to take readings from: mqtt://host:port or mqtts://host:port (TLS); empty: none."""
    mqtt_user: str | None = None
    """As whom to come to the broker."""
    mqtt_password: SecretStr | None = None
    """The user's password. For the environment only: it is never written into a settings file."""
    mqtt_password_file: Path | None = None
    """A file that holds the user's password."""
    mqtt_ca_file: Path | None = None
    """The authority that signed the broker's certificate, PEM; without it those that the machine trusts count."""
    mqtt_cert_file: Path | None = None
    """Our certificate for the broker, PEM."""
    mqtt_key_file: Path | None = None
    """The certificate's secret key, PEM."""
    mqtt_topic: Annotated[str, BeforeValidator(check_filter)] = DEFAULT_FILTER
    """What to subscribe to; the last three levels are site, device and meter."""
    mqtt_client_id: str = Field(default="wattseal", min_length=1, max_length=64)
    """The name of our session at the broker: fixed, so that it goes on after a restart."""
    mqtt_session_s: int = Field(default=604_800, ge=0, le=4_294_967_295)
    """How long the broker keeps messages for us while we are away; 0: not at all, and what comes then is lost."""
    mqtt_receive_max: int = Field(default=4_000, ge=1, le=65_535)
    """Messages that the broker may have sent us and that are not acknowledged yet: more makes more of each commit."""
    mqtt_embedded: str = ""
    """Run a broker in this process, for demonstrations: 127.0.0.1:port; another port if that one is taken."""

    batch_max_s: int = Field(default=60, ge=1)
    """A batch closes at the latest after this time."""
    batch_max_entries: int = Field(default=100_000, ge=1)
    """A batch closes at the latest with this many entries."""
    chain: Literal["simulated", "none"] = "simulated"
    """Where checkpoints are anchored."""
    anchor_interval_s: int = Field(default=3_600, ge=0)
    """How often the newest batch is anchored by itself; 0: only when asked."""
    mining_interval_s: int = Field(default=60, ge=0)
    """How often the simulated chain finds a block while one is awaited; 0: only when asked."""

    @model_validator(mode="after")
    def _guard_is_apart(self) -> Self:
        if self.guard_path.is_relative_to(self.folder):
            raise Refusal("guard", "must lie outside of the data directory, or a restored backup would bring it along")
        return self

    @model_validator(mode="after")
    def _one_broker(self) -> Self:
        if self.mqtt_embedded:
            parse_loopback(self.mqtt_embedded)
            if self.mqtt_url:
                raise Refusal("mqtt_embedded", "stands beside mqtt_url: readings come from one broker, choose one")
        if self.mqtt_url:
            is_tls = parse_url(self.mqtt_url).is_tls
            for name in ("mqtt_ca_file", "mqtt_cert_file", "mqtt_key_file"):
                if not is_tls and getattr(self, name) is not None:
                    raise Refusal(name, "counts only with TLS: write mqtts:// in mqtt_url")
        if self.mqtt_password is not None and self.mqtt_password_file is not None:
            raise Refusal("mqtt_password_file", "stands beside mqtt_password: give one of them")
        if self.mqtt_user is None and (self.mqtt_password is not None or self.mqtt_password_file is not None):
            raise Refusal("mqtt_user", "is missing: a password belongs to a user")
        return self

    def mqtt_broker(self) -> Broker | None:
        """The broker to connect to, with what its files hold; None without `mqtt_url`. Refusal for a file."""
        if not self.mqtt_url:
            return None
        address = parse_url(self.mqtt_url)
        password = None if self.mqtt_password is None else self.mqtt_password.get_secret_value()
        if self.mqtt_password_file is not None:
            password = read_password(self._in_folder(self.mqtt_password_file))
        files = (self.mqtt_ca_file, self.mqtt_cert_file, self.mqtt_key_file)
        return Broker(
            address.host,
            address.port,
            self.mqtt_topic,
            self.mqtt_client_id,
            self.mqtt_user,
            password,
            tls_context(*(None if file is None else self._in_folder(file) for file in files))
            if address.is_tls
            else None,
            self.mqtt_session_s,
            self.mqtt_receive_max,
        )

    def _in_folder(self, path: Path) -> Path:
        return self.folder / path.expanduser()

    @property
    def folder(self) -> Path:
        """The data directory, absolute."""
        return self.data_dir.expanduser().absolute()

    @property
    def store_place(self) -> Path | DatabaseUrl:
        """Where the store is: the database file, absolute, or a schema on a server."""
        return self.database if isinstance(self.database, DatabaseUrl) else self.folder / self.database.expanduser()

    @property
    def database_path(self) -> Path:
        """The database file. Refuses where the store is on a server."""
        place = self.store_place
        if isinstance(place, DatabaseUrl):
            raise Refusal("database", f"is no file but {place}")
        return place

    @property
    def guard_path(self) -> Path:
        """The guard's file."""
        if self.guard is None:
            return Path.home() / ".local" / "state" / "wattseal" / self.origin.replace("/", "_") / "guard"
        return Path(os.path.normpath(self.folder / self.guard.expanduser()))

    @property
    def log_key_path(self) -> Path:
        """The log's secret key."""
        return self.folder / "log.key"

    @property
    def operator_key_path(self) -> Path:
        """The operator's secret key."""
        return self.folder / "operator.key"

    @property
    def gateway_key_path(self) -> Path:
        """The gateway's secret key."""
        return self.folder / "gateway.key"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of the sources: the first one that has a setting gives it."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(file: Path | None = None, **given: Any) -> Settings:  # noqa: ANN401 - values of any setting
    """The settings from a file, the environment and `given`, in which a None counts as not given.

    Without `file` it is the one that FILE_VARIABLE names, else FILE_NAME in the working directory if there is one.
    Raises Refusal(setting, why) for the first setting that is wrong.
    """
    return _load(settings_file(file), given)


def settings_file(file: Path | None = None) -> Path | None:
    """The file that `load_settings` reads. Refuses one that is named and not there."""
    path = file or (Path(named) if (named := os.environ.get(FILE_VARIABLE)) else None)
    if path is None and Path(FILE_NAME).is_file():
        path = Path(FILE_NAME)
    if path is not None and not path.is_file():
        raise Refusal("settings", f"there is no file {path}")
    return path


def new_settings(**given: Any) -> Settings:  # noqa: ANN401 - values of any setting
    """The settings of a site that is about to be made: as `load_settings`, but no file's, also if one lies here."""
    return _load(None, given)


def _load(path: Path | None, given: Mapping[str, Any]) -> Settings:
    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    values = {name: value for name, value in given.items() if value is not None}
    try:
        loaded = FromFile(**values)
        if path is not None and "data_dir" not in loaded.model_fields_set:
            loaded = FromFile(**values, data_dir=path.absolute().parent)
    except ValidationError as error:
        # Without what was given: a password may stand in it.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise Refusal(where, first["msg"].removeprefix("Value error, ")) from None
    except ValueError as error:  # the TOML itself
        raise Refusal("settings", f"{path} cannot be read: {error}") from None
    return loaded


def settings_text(settings: Settings) -> str:
    """The settings that were given, as the text of a settings file, and all others as comments.

    The data directory is the folder that the file will lie in.
    """
    given: Mapping[str, object] = settings.model_dump(
        mode="json", exclude_unset=True, exclude={"data_dir", "mqtt_password"}
    )
    values = {"origin": settings.origin, **given}
    if settings.guard is not None:
        values["guard"] = str(settings.guard_path)
    lines = ["# Settings of this Wattseal site. Every setting can also be given as WATTSEAL_<NAME> in the environment."]
    for name, value in values.items():
        if isinstance(value, bool | int):
            lines.append(f"{name} = {str(value).lower()}")
        elif value is not None:
            escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'{name} = "{escaped}"')
    lines += ["", "# All others, with their defaults."]
    for name, field in Settings.model_fields.items():
        if name not in values and name not in ("data_dir", "mqtt_password"):
            default = field.get_default(call_default_factory=True)
            shown = "…" if default is None else json.dumps(default, default=str)
            lines += [f"# {name} = {shown}", f"#     {field.description}"]
    return "\n".join(lines) + "\n"


def write_settings(path: Path, text: str) -> None:
    """Write a settings file, durably, whole or not at all.

    For its owner alone, since a database's password may stand in it.
    """
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        if path.exists() and os.geteuid() == 0:  # root may change the settings of the user that the server runs as
            os.fchown(file.fileno(), path.stat().st_uid, path.stat().st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def database_line(database: DatabaseUrl, *, hidden: bool = False) -> str:
    """The line of a settings file that says where the store is; `hidden`: to be shown, without the password."""
    escaped = (str(database) if hidden else database.text).replace("\\", "\\\\").replace('"', '\\"')
    return f'database = "{escaped}"'


def with_database(text: str, database: DatabaseUrl) -> str:
    """The text of a settings file with another database; all other lines stay as they are."""
    kept = [line for line in text.splitlines() if not re.match(r"\s*database\s*=", line)]
    # First: a line after the head of a table would belong to that.
    return "\n".join([database_line(database), *kept]) + "\n"
