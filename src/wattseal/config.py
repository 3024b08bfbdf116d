"""The settings of a server: defaults, then `wattseal.toml`, then WATTSEAL_* in the environment, then the command line.

The last one counts. Unknown settings in the file are refused, so that a misspelled one is not silently a default.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from wattseal.core.note_key import check_name
from wattseal.core.refusal import Refusal

FILE_NAME = "wattseal.toml"
FILE_VARIABLE = "WATTSEAL_CONFIG"
"""The environment's way to name the settings file; else `wattseal.toml` in the working directory, if it is there."""


def _origin(value: object) -> object:
    if isinstance(value, str):
        check_name(value)
    return value


class Settings(BaseSettings):
    """Every setting, with its unit. Relative paths are relative to the data directory."""

    model_config = SettingsConfigDict(
        env_prefix="WATTSEAL_", extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )

    data_dir: Path = Path("wattseal-data")
    """Keys and database; by default the settings file's folder."""
    database: Path = Path("wattseal.db")
    """The database file."""
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

    @property
    def folder(self) -> Path:
        """The data directory, absolute."""
        return self.data_dir.expanduser().absolute()

    @property
    def database_path(self) -> Path:
        """The database file."""
        return self.folder / self.database.expanduser()

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
    path = file or (Path(named) if (named := os.environ.get(FILE_VARIABLE)) else None)
    if path is None and Path(FILE_NAME).is_file():
        path = Path(FILE_NAME)
    if path is not None and not path.is_file():
        raise Refusal("settings", f"there is no file {path}")
    return _load(path, given)


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
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise Refusal(where, first["msg"].removeprefix("Value error, ")) from None
    except ValueError as error:  # the TOML itself
        raise Refusal("settings", f"{path} cannot be read: {error}") from None
    return loaded


def settings_text(settings: Settings) -> str:
    """The settings that were given, as the text of a settings file, and all others as comments.

    The data directory is the folder that the file will lie in.
    """
    given: Mapping[str, object] = settings.model_dump(mode="json", exclude_unset=True, exclude={"data_dir"})
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
        if name not in values and name != "data_dir":
            default = field.get_default(call_default_factory=True)
            shown = "…" if default is None else json.dumps(default, default=str)
            lines += [f"# {name} = {shown}", f"#     {field.description}"]
    return "\n".join(lines) + "\n"
