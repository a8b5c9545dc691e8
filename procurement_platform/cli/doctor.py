"""`procurement doctor`: what is configured and reachable, what is wrong, and how to mend it."""

import os
import platform as machine
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import typer

from procurement_platform.cli.options import FormatOption
from procurement_platform.texts import first_few

if TYPE_CHECKING:
    import psycopg

    from procurement_platform.settings import Settings

State = Literal["ok", "look", "wrong"]
COLUMNS = ("what", "state", "found", "mend")
PACKAGES = ("dagster", "dagster-webserver", "duckdb", "polars", "pyarrow", "pyiceberg", "sqlglot", "fastavro", "psycopg")
FREE_GIB = 2.0
OLDEST_POSTGRES = 15
NAMED = 5  # offers
REFERENCE = 4  # tables without which nothing can be ordered
GIB = 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `look` is worth knowing and does no harm; `wrong` keeps the platform from working."""

    what: str
    state: State
    found: str
    mend: str = ""


def doctor(form: FormatOption = "table") -> None:
    """Look at everything the platform needs, and say how to mend what is wrong. The exit code is 1 if something is.

    Reads the settings, the home, the database, the machine, and what the profile's servers answer. Writes nothing of its own, but makes
    the home and starts its database; a lake on HDFS gets a small file, which is removed again.
    """
    from procurement_platform.cli.layout import View
    from procurement_platform.cli.output import show

    findings = list(examine())
    show([asdict(finding) for finding in findings], COLUMNS, form, view=View(("mend",)))
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Every finding, in order; nothing beyond the settings is looked at while they are wrong."""
    from procurement_platform.errors import ConfigurationError
    from procurement_platform.settings import load_settings

    yield from software()
    yield from misspelt()
    try:
        settings = load_settings()
    except ConfigurationError as problem:
        yield Finding("settings", "wrong", str(problem), "correct the environment or .env; docs/settings.md has them all")
        return
    yield configuration(settings)
    for look in LOOKS:
        yield from look(settings)


def software() -> Iterator[Finding]:
    """The versions of Python and of the packages that do the work."""
    from importlib.metadata import PackageNotFoundError, version

    fits = (3, 11) <= sys.version_info[:2] < (3, 15)
    yield Finding("python", "ok" if fits else "wrong", machine.python_version(), "" if fits else "use Python 3.11 to 3.14: make setup")
    for name in ("procurement-platform", *PACKAGES):
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "wrong", "not installed", "make setup")


def misspelt() -> Iterator[Finding]:
    """Variables that look like settings and are none: nothing reads them."""
    from procurement_platform.settings import unknown_variables

    for name, place, meant in unknown_variables():
        mend = f"did you mean {meant}?" if meant else "remove it; docs/settings.md has all there are"
        yield Finding("settings", "look", f"{name} in {place} is no setting, nothing reads it", mend)


def configuration(settings: "Settings") -> Finding:
    """Where the settings come from."""
    from procurement_platform.settings import variable

    named = [variable(name) for name in sorted(settings.model_fields_set)]
    source = "defaults" if not named else ", ".join(named)
    return Finding(
        "settings", "ok", f"{settings.profile} profile, time zone {settings.timezone}, days from {settings.start_date}; set: {source}"
    )


def home(settings: "Settings") -> Iterator[Finding]:
    """The home can be written and has room."""
    from procurement_platform.errors import ConfigurationError
    from procurement_platform.instance import prepare_dagster_home

    try:
        prepare_dagster_home(settings)
    except ConfigurationError as problem:
        yield Finding("home", "wrong", str(problem), "set PROCUREMENT_HOME to a folder you may write")
        return
    free = shutil.disk_usage(settings.home).free / GIB
    enough = free >= FREE_GIB
    yield Finding("home", "ok" if enough else "look", f"{settings.home}, {free:.1f} GiB free", "" if enough else "make room on this disk")


def lake(settings: "Settings") -> Iterator[Finding]:
    """The profile's servers can be used, and the lake's root be reached."""
    from procurement_platform.errors import ConfigurationError
    from procurement_platform.procurement.feeds import FEEDS
    from procurement_platform.procurement.market_files import misplaced_files
    from procurement_platform.profiles import PROFILES

    try:
        found = PROFILES[settings.profile].lake(settings)
    except ConfigurationError as problem:
        yield Finding("lake", "wrong", str(problem), "do as it says")
        return
    wrong = False
    for each in PROFILES[settings.profile].servers(settings, found):
        yield Finding(each.what, "wrong" if each.mend else "ok", each.found, each.mend)
        wrong = wrong or (each.what == "hdfs" and each.mend != "")
    if wrong:
        return
    try:
        there = found.exists("")
    except (OSError, ValueError) as problem:
        yield Finding("lake", "wrong", f"{settings.lake_url}: {problem}", "correct PROCUREMENT_LAKE")
        return
    days = {day for feed in FEEDS for day in found.folders(f"inbox/{feed.name}")} if there else set()
    inbox = f"{len(days):,} {'day' if len(days) == 1 else 'days'} in the inbox" if days else "nothing in the inbox"
    mend = "" if days else "procurement simulate DATE writes sample files; procurement put FILE hands in one of yours"
    yield Finding("lake", "ok" if days else "look", f"{found.root}: {inbox}", mend)
    if lost := misplaced_files(found, settings):
        yield Finding("inbox", "look", lost, "move them there, or remove them")


def database(settings: "Settings") -> Iterator[Finding]:
    """The database answers, is new enough, has the schema, and has reference tables."""
    from procurement_platform.database.connect import Database
    from procurement_platform.database.migrate import HEAD
    from procurement_platform.errors import ConfigurationError, ProcurementError

    own = "PROCUREMENT_DATABASE_URL" if settings.database_url else "embedded PostgreSQL"
    found = Database(settings, _lake_of(settings))
    try:
        with found.transaction() as connection:
            server = connection.info.server_version // 10000
            fits = server >= OLDEST_POSTGRES
            yield Finding(
                "database",
                "ok" if fits else "wrong",
                f"{own}, PostgreSQL {connection.info.parameter_status('server_version')}, schema {HEAD}",
                "" if fits else f"use PostgreSQL {OLDEST_POSTGRES} or later",
            )
            yield _reference([str(name) for (name,) in connection.execute(_EMPTY_TABLES).fetchall()], _never_used(connection))
    except ProcurementError as problem:
        mend = (
            "do as it says"
            if isinstance(problem, ConfigurationError)
            else "correct PROCUREMENT_DATABASE_URL, or start that server"
            if settings.database_url
            else f"see {settings.home}/postgres/server.log"
        )
        yield Finding("database", "wrong", str(problem), mend)
    finally:
        found.close()


def _lake_of(settings: "Settings") -> str | None:
    from procurement_platform.errors import ConfigurationError
    from procurement_platform.profiles import PROFILES

    try:
        return PROFILES[settings.profile].lake(settings).real_location
    except (ConfigurationError, OSError, ValueError):
        return None  # told of the lake


_EMPTY_TABLES = """
SELECT 'markets' WHERE NOT EXISTS (SELECT FROM reference.markets)
UNION ALL SELECT 'products' WHERE NOT EXISTS (SELECT FROM reference.products)
UNION ALL SELECT 'suppliers' WHERE NOT EXISTS (SELECT FROM reference.suppliers)
UNION ALL SELECT 'supplier_products' WHERE NOT EXISTS (SELECT FROM reference.supplier_products)
"""


def _never_used(connection: "psycopg.Connection") -> list[str]:
    """Supplier and SKU of each offer that no order can use."""
    import polars as pl

    from procurement_platform.procurement.reference.snapshot import read_table
    from procurement_platform.procurement.reference.tables import SUPPLIER_PRODUCTS
    from procurement_platform.procurement.reference.unusable import unusable_offers

    found = unusable_offers(pl.DataFrame(read_table(connection, SUPPLIER_PRODUCTS)))
    return [f"{supplier} {sku}" for supplier, sku in found.select("supplier_id", "sku").iter_rows()]


def _reference(empty: list[str], never_used: list[str]) -> Finding:
    if not empty and never_used:
        return Finding(
            "reference",
            "look",
            f"offers that no order can use: {first_few(never_used, NAMED)}",
            "in supplier_products raise their max_order_quantity, or lower moq, min_quantity or pack_size: procurement reference load DIR",
        )
    if not empty:
        return Finding("reference", "ok", "markets, products, suppliers and what they sell are there")
    if len(empty) == REFERENCE:
        return Finding(
            "reference", "look", "no reference tables yet", "procurement reference load DIR; else the first run loads the sample set"
        )
    return Finding("reference", "wrong", f"empty: {', '.join(empty)}", "procurement reference load DIR, with those tables")


def dagster(settings: "Settings") -> Iterator[Finding]:
    """Dagster's own commands, in this shell, would use this home's instance."""
    from procurement_platform.instance import dagster_environment

    there = {name: os.environ.get(name) for name in dagster_environment(settings)}
    wrong = [name for name, value in dagster_environment(settings).items() if there[name] not in (None, value)]
    if wrong:
        yield Finding("dagster", "look", f"{wrong[0]}={there[wrong[0]]} is not this home's", 'eval "$(procurement env)"')
    elif None in there.values():
        mend = 'for `dagster` and `dg` commands: eval "$(procurement env)", or source .venv/bin/activate'
        yield Finding("dagster", "ok", f"{settings.dagster_home}; not set in this shell", mend)
    else:
        yield Finding("dagster", "ok", f"{settings.dagster_home}; set in this shell")


def memory(settings: "Settings") -> Iterator[Finding]:
    """The limits fit the machine: decoding and SQL do not run at the same time."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    wanted = max(settings.decode_processes * settings.decode_memory_mib, settings.sql_memory_mib) / 1024
    cores = len(os.sched_getaffinity(0))
    fits = wanted <= total
    mend = "" if fits else "lower PROCUREMENT_DECODE_PROCESSES, PROCUREMENT_DECODE_MEMORY_MIB or PROCUREMENT_SQL_MEMORY_MIB"
    yield Finding("machine", "ok" if fits else "look", f"{cores} cores, {total:.1f} GiB of memory; the limits allow {wanted:.1f} GiB", mend)


def alerts(settings: "Settings") -> Iterator[Finding]:
    """The addresses of alerts are ones that Apprise knows; nothing is sent. No address is shown: they hold passwords."""
    if not settings.alert_urls:
        return
    from procurement_platform.quality.alerts import unknown_addresses

    unknown = unknown_addresses(settings.alert_urls)
    mend = "correct them: no alert is sent while one is wrong; separate them by spaces" if unknown else ""
    found = f"{', '.join(unknown)}: no Apprise address" if unknown else f"{len(settings.alert_urls)} addresses"
    yield Finding("alerts", "wrong" if unknown else "ok", f"PROCUREMENT_ALERT_URLS: {found}", mend)


LOOKS: tuple[Callable[["Settings"], Iterator[Finding]], ...] = (home, lake, database, dagster, alerts, memory)
