"""Every environment variable of the platform: typed, documented, validated once.

Read from the environment, then from `.env` in the working folder; a secret also from the file that `<NAME>_FILE` names.
`docs/settings.md` is checked against this module.
"""

import datetime as dt
import getpass
import os
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from procurement_platform.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MIB = 1024 * 1024
MOST_DAYS = 36_500  # a hundred years: every date that comes of it is one
MOST_MIB = 1024 * 1024  # a TiB: beyond these, libraries below count in numbers that are too small
MOST_BYTES = MOST_MIB * MIB
MOST_ROWS = 1_000_000_000_000


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _split(value: object) -> object:
    return tuple(part for part in value.split() if part) if isinstance(value, str) else value


class Settings(BaseSettings):
    """The platform's settings. Every field is `PROCUREMENT_<FIELD>` in the environment, save those with names of their own."""

    model_config = SettingsConfigDict(
        env_prefix="PROCUREMENT_", env_file=".env", extra="ignore", env_ignore_empty=True, frozen=True, populate_by_name=True
    )

    home: Path = Field(
        Path("./var"), description="The folder under which the platform writes everything: `lake/`, `postgres/`, `dagster/`."
    )
    profile: Literal["embedded", "cluster"] = Field(
        "embedded",
        description=(
            "Which engines run the assets: `embedded` (DuckDB, local files, embedded PostgreSQL) or `cluster` (Trino, HDFS, Hive "
            "Metastore, a PostgreSQL server)."
        ),
    )
    lake: Annotated[str | None, BeforeValidator(_none_if_blank)] = Field(
        None,
        description=(
            "Root folder of the lake: a path or `file://` URL; for the cluster profile `hdfs://namenode:9000/folder`. Default: `lake/` "
            "under the home."
        ),
    )
    database_url: Annotated[SecretStr | None, BeforeValidator(_none_if_blank)] = Field(
        None, description="URL of a PostgreSQL server (15 or later). Default: the embedded one of the home."
    )
    start_date: dt.date = Field(
        dt.date(2025, 1, 1), ge=dt.date(1970, 1, 1), description="The first run date that can be run: the start of the daily partitions."
    )
    timezone: str = Field("UTC", description="The time zone in which a run date begins and ends, and in which `run` finds today.")
    run_date: Annotated[dt.date | None, BeforeValidator(_none_if_blank)] = Field(
        None,
        validation_alias=AliasChoices("RUN_DATE", "run_date"),
        description="The date that commands take when none is given. Default: today.",
    )
    hdfs_base_url: Annotated[str | None, BeforeValidator(_none_if_blank)] = Field(
        None,
        validation_alias=AliasChoices("HDFS_BASE_URL", "hdfs_base_url"),
        description=(
            "WebHDFS address of the NameNode, such as `http://namenode:9870`. Cluster profile: files are read and written through it; "
            "unset, through the NameNode's own protocol at the address in `PROCUREMENT_LAKE`, which is faster."
        ),
    )
    hdfs_user: str = Field(
        "root", validation_alias=AliasChoices("HDFS_USER", "hdfs_user"), description="The user as whom HDFS is read and written."
    )
    trino_host: str = Field(
        "localhost", validation_alias=AliasChoices("TRINO_HOST", "trino_host"), description="Trino's host (cluster profile)."
    )
    trino_port: int = Field(
        8080, ge=1, le=65535, validation_alias=AliasChoices("TRINO_PORT", "trino_port"), description="Trino's port (cluster profile)."
    )
    trino_user: str = Field("procurement", description="The user as whom Trino is asked.")
    trino_password: Annotated[SecretStr | None, BeforeValidator(_none_if_blank)] = Field(
        None, description="That user's password; it is sent over TLS only."
    )
    trino_tls: bool = Field(False, description="Whether Trino is reached over TLS (https).")
    trino_ca: Annotated[Path | None, BeforeValidator(_none_if_blank)] = Field(
        None, description="File with the certificates that Trino's is checked against. Default: those that Python's certifi has."
    )
    metastore_uri: str = Field(
        "thrift://localhost:9083",
        description="Address of the Hive Metastore (cluster profile); several that share one database are separated by commas.",
    )
    table_schema: str = Field(
        "procurement",
        pattern=r"^[a-z][a-z0-9_]{0,100}$",
        description="The metastore's schema for the lake's tables (cluster profile); each lake that shares a metastore has its own.",
    )
    raw_schema: str = Field(
        "raw",
        pattern=r"^[a-z][a-z0-9_]{0,100}$",
        description="The metastore's schema for the Avro files as sent, `orders` and `stock` (cluster profile); likewise.",
    )

    stack_ports: Annotated[str | None, BeforeValidator(_none_if_blank)] = Field(
        None, description="Ports of `procurement stack` that are not the usual ones: `trino=8090 kafka=19092` (names: docs/stack.md)."
    )
    stack_trino_memory_mib: int = Field(1536, ge=768, le=MOST_MIB, description="Memory of the Trino that `procurement stack` starts.")

    settle_seconds: float = Field(
        2.0, ge=0, le=86_400, description="A file whose size or time changed less than this many seconds ago is still being written."
    )
    order_window_days: int = Field(
        7, ge=0, le=MOST_DAYS, description="`ordered_at` lies in [run date − this many days, run date + 1), in the market's time zone."
    )
    duplicate_window_days: int = Field(
        7, ge=0, le=MOST_DAYS, description="Order keys are checked against the accepted keys of this many earlier days."
    )
    duplicate_batch_rows: int = Field(
        3_000_000,
        ge=1,
        le=MOST_ROWS,
        description=(
            "Duplicates are looked for in groups of markets that have together at most this many rows, those of the earlier days counted. "
            "Trino takes about 130 bytes of memory for each."
        ),
    )
    small_day_rows: int = Field(
        100_000,
        ge=0,
        le=10_000_000,
        description=(
            "A feed's day of at most this many accepted rows lies in one file: to open a file for each market would take longer than to "
            "read it. A larger day has a file for each file that was sent. 0: every day."
        ),
    )
    cutoff_window_hours: int = Field(
        24,
        ge=1,
        le=24 * MOST_DAYS,
        description=(
            "The sensor for missing files tells of a cut-off that passed within this many hours, once; longer ago (the daemon was off), "
            "the day's report alone does."
        ),
    )
    sensor_seconds: int = Field(
        30, ge=1, le=86_400, description="How often the sensors look: for late files, missing files, crashes, alerts."
    )
    late_window_days: int = Field(
        35,
        ge=0,
        le=MOST_DAYS,
        description=(
            "How many days back the late-file sensor looks at every file, each time. Of older dates it sees at once what is put, replaced "
            "or removed, and in turn, 30 dates a look, what is rewritten in place."
        ),
    )

    max_file_bytes: int = Field(2048 * MIB, ge=1, le=MOST_BYTES, description="A larger file is rejected unread.")
    max_decoded_bytes: int = Field(
        16 * 1024 * MIB, ge=1, le=MOST_BYTES, description="A file that unpacks to more bytes than this is rejected."
    )
    max_block_bytes: int = Field(
        64 * MIB,
        ge=1024,
        le=1024 * MIB,
        description=("One block of a file (Avro block or row) unpacks to at most this; a line of CSV or JSON has at most a quarter of it."),
    )
    max_rows_per_file: int = Field(50_000_000, ge=1, le=MOST_ROWS, description="A file with more rows is rejected.")
    max_columns: int = Field(200, ge=1, le=10_000, description="A file with more columns is rejected.")
    max_cell_characters: int = Field(256, ge=1, le=MIB, description="A longer text in a contract field makes its row invalid.")
    max_quantity: int = Field(1_000_000_000, ge=1, le=100_000_000_000, description="A larger quantity makes its row invalid.")
    max_unit_price: int = Field(100_000_000, ge=1, le=10_000_000_000, description="A larger unit price makes its row invalid.")
    decode_memory_mib: int = Field(
        768, ge=256, le=MOST_MIB, description="Memory one decoding process may take beyond what it holds when idle."
    )
    decode_seconds: int = Field(
        60,
        ge=1,
        le=86_400,
        description="Processor time that decoding one file may take, and a second more for each 250 kB of it: no file keeps a day waiting.",
    )
    decode_processes: int = Field(2, ge=1, le=64, description="How many files are decoded side by side.")

    sql_memory_mib: int = Field(512, ge=64, le=MOST_MIB, description="Memory the SQL engine may use before it spills to disk.")
    sql_threads: int = Field(2, ge=1, le=256, description="Threads of the SQL engine. A query that reads little has one.")

    threshold_missing_file: int = Field(0, ge=0, le=MOST_ROWS, description="MISSING_FILE: the check passes up to this many violations.")
    threshold_unknown_product: int = Field(0, ge=0, le=MOST_ROWS, description="UNKNOWN_PRODUCT: the check passes up to this many rows.")
    threshold_stock_logic: int = Field(0, ge=0, le=MOST_ROWS, description="STOCK_LOGIC: the check passes up to this many rows.")
    threshold_invalid_row: int = Field(0, ge=0, le=MOST_ROWS, description="INVALID_ROW: the check passes up to this many rows.")
    threshold_invalid_file: int = Field(0, ge=0, le=MOST_ROWS, description="INVALID_FILE: the check passes up to this many files.")
    threshold_conflicting_order: int = Field(0, ge=0, le=MOST_ROWS, description="CONFLICTING_ORDER: the check passes up to this many rows.")
    threshold_duplicate_order: int = Field(0, ge=0, le=MOST_ROWS, description="DUPLICATE_ORDER: the check passes up to this many rows.")
    threshold_stock_unknown: int = Field(
        0, ge=0, le=MOST_ROWS, description="STOCK_UNKNOWN: the check passes up to this many market and SKU pairs."
    )
    threshold_no_supplier: int = Field(0, ge=0, le=MOST_ROWS, description="NO_SUPPLIER: the check passes up to this many SKUs.")

    run_retention_days: int = Field(30, ge=0, le=MOST_DAYS, description="A run's files are kept at least this many days.")
    run_retention_runs: int = Field(3, ge=1, le=MOST_DAYS, description="And at least this many runs of each day are kept.")
    snapshot_retention: int = Field(
        10,
        ge=1,
        le=MOST_DAYS,
        description=(
            "`maintain expire` leaves each table this many snapshots, the current one among them. Commits leave as many, or 10 where that "
            "is more, and up to ten older ones."
        ),
    )
    compact_files: int = Field(
        100,
        ge=2,
        le=1_000_000,
        description="`maintain compact` writes a date's order lines or stock lines anew where they lie in at least this many files.",
    )
    orphan_grace_days: int = Field(
        3,
        ge=1,
        le=MOST_DAYS,
        description=(
            "`maintain` removes what nothing names once it has not changed for this many days, and nothing that a reader may have planned "
            "to read within them."
        ),
    )
    raw_retention_days: Annotated[int | None, BeforeValidator(_none_if_blank)] = Field(
        None,
        ge=1,
        le=MOST_DAYS,
        description=(
            "`maintain retention` removes the files as sent (`raw/`) this many days after their run date and their arrival; such a day "
            "cannot be run again. Never of dates that a late file may still change. Default: they are kept."
        ),
    )
    superseded_retention_days: Annotated[int | None, BeforeValidator(_none_if_blank)] = Field(
        None,
        ge=1,
        le=MOST_DAYS,
        description="Likewise the files that were replaced or withdrawn (`raw/…/_superseded/`). Default: as long as the others.",
    )
    rejected_retention_days: Annotated[int | None, BeforeValidator(_none_if_blank)] = Field(
        None,
        ge=1,
        le=MOST_DAYS,
        description="Likewise the files that were rejected (`quarantine/files/`); rejected rows stay. Default: they are kept.",
    )
    lock_wait_seconds: int = Field(
        600, ge=0, le=604_800, description="How long a run that Dagster's daemon launched waits for the day's lock."
    )
    postgres_idle_seconds: int = Field(60, ge=1, le=86_400, description="The embedded PostgreSQL stops this long after its last client.")
    user: Annotated[str | None, BeforeValidator(_none_if_blank)] = Field(
        None, description="Who is recorded as having withdrawn or handed in a file. Default: the name you are logged in by."
    )
    preview_rows: int = Field(10, ge=0, le=1000, description="Rows in the preview of a materialisation.")
    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="Where alerts go: Apprise addresses, separated by spaces."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- a folder of files; here each is named by itself
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, _SecretFiles(settings_cls, dotenv_settings, env_settings)

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("lake")
    @classmethod
    def _local_or_whole(cls, lake: str | None) -> str | None:
        parts = urlsplit(lake or "")
        if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
            raise ValueError(
                f"names the computer {parts.netloc!r}; a folder of this one has three slashes: file:///{parts.netloc}{parts.path}"
            )
        return lake

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as problem:
            raise ValueError("no IANA time zone; write one such as Europe/Berlin") from problem
        return name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def lake_url(self) -> str:
        """URL of the lake's root, without a trailing slash."""
        return (self.lake or (self.home / "lake").as_uri()).rstrip("/")

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def who(self) -> str:
        """Who is at work here, as the ledger records it."""
        if self.user is not None:
            return self.user.strip()
        try:
            return getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            return f"user {os.getuid()}"

    def today(self) -> dt.date:
        return dt.datetime.now(self.zone).date()

    def default_run_date(self) -> dt.date:
        return self.run_date or self.today()


def variable(field: str) -> str:
    """The environment variable that sets a field."""
    alias = Settings.model_fields[field].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"PROCUREMENT_{field.upper()}"


def secret_fields() -> tuple[str, ...]:
    """The fields whose value is a secret, or several: each may also be in a file, see `file_variable`."""
    return tuple(name for name, info in Settings.model_fields.items() if SecretStr in _types_in(info.annotation))


def _types_in(annotation: Any) -> set[Any]:
    return {annotation}.union(*(_types_in(each) for each in get_args(annotation)))


def file_variable(field: str) -> str:
    """The environment variable that names the file in which a secret field's value is."""
    return f"{variable(field)}_FILE"


class _SecretFiles(PydanticBaseSettingsSource):
    """The values of secrets that are kept in files, as container engines hand them in. An empty file is one that is not set."""

    def __init__(self, settings: type[BaseSettings], *sources: PydanticBaseSettingsSource) -> None:
        super().__init__(settings)
        self._given: dict[str, str] = {}  # by lower-case name; later sources go first
        for source in sources:
            if isinstance(source, EnvSettingsSource | DotEnvSettingsSource):
                self._given |= {name.lower(): value for name, value in source.env_vars.items() if value}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 -- as pydantic-settings asks
        """The content of the field's file, without the line break at its end; None where no file is named.

        Raises:
            ConfigurationError: the file cannot be read, or the value is given directly, too.
        """
        name = file_variable(field_name)
        path = self._given.get(name.lower())
        if path is None:
            return None, field_name, False
        if variable(field_name).lower() in self._given:
            raise ConfigurationError(f"{variable(field_name)} and {name} are both set: unset one")
        try:
            return Path(path).read_text(encoding="utf-8").strip() or None, field_name, False
        except (OSError, ValueError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
            raise ConfigurationError(f"{name}={path!r}: the file cannot be read ({why})") from None

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(Settings.model_fields[name], name)[0] for name in secret_fields()}
        return {name: value for name, value in found.items() if value is not None}


def unknown_variables() -> list[tuple[str, str, str | None]]:
    """Variables that look like settings and are none: name, where it was found, and the setting that was probably meant.

    Looked for in the environment and in `.env`, by the prefix; capital letters or not is the same.
    """
    prefix = str(Settings.model_config["env_prefix"])
    names_known = [*map(variable, Settings.model_fields), *map(file_variable, secret_fields())]
    known = {name.removeprefix(prefix): name for name in names_known}
    places = (("the environment", list(os.environ)), (".env", list(dotenv_values(str(Settings.model_config["env_file"])))))
    found = []
    for place, names in places:
        for name in sorted(each for each in names if each.upper().startswith(prefix)):
            plain = name.upper().removeprefix(prefix)
            if known.get(plain) != f"{prefix}{plain}":
                close = get_close_matches(plain, known, 1, 0.75)
                found.append((name, place, known[close[0]] if close else None))
    return found


def load_settings() -> Settings:
    """Settings from the environment as it is now.

    Raises:
        ConfigurationError: a value is malformed; the text names each variable and why.
    """
    try:
        return Settings()
    except ValidationError as problem:
        raise ConfigurationError("; ".join(_in_words(error) for error in problem.errors())) from None


def _in_words(error: "ErrorDetails") -> str:
    """What is wrong with one setting: its variable, the value, and what is allowed instead."""
    name = str(error["loc"][0])
    field = next((each for each in Settings.model_fields if name in (each, variable(each))), name)
    given = f"{variable(field)}={str(error['input'])[:80]!r}"
    if error["type"] == "value_error":  # a validator's own words
        return f"{given}: {error['ctx']['error']}"
    return f"{given} is not allowed: write {allowed(field)}"


_KINDS: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", dt.date: "a date such as 2025-12-20"}


def allowed(field: str) -> str:
    """What a setting may be, in words: `a whole number from 1 to 256`."""
    info = Settings.model_fields[field]
    kinds = [each for each in (get_args(info.annotation) or (info.annotation,)) if each is not type(None)]
    limits = {name: value for rule in info.metadata for name in ("ge", "le") if (value := getattr(rule, name, None)) is not None}
    match limits:
        case {"ge": low, "le": high}:
            span = f" from {low} to {high}"
        case {"ge": dt.date() as low}:
            span = f", {low} or later"
        case {"ge": low}:
            span = f" of at least {low}"
        case _:
            span = ""
    if all(isinstance(each, str) for each in kinds):  # a Literal's choices
        return " or ".join(repr(each) for each in kinds)
    return _KINDS.get(kinds[0], "another value") + span


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read once."""
    return load_settings()
