"""What the inbox may hold, and how often: no name and no order of sending stops the other markets, and nothing is told twice or lost."""

import gzip
import os
import signal
import threading
import time
from pathlib import Path
from typing import Never

import pytest

from procurement_platform.errors import InputGone, ProcurementError
from procurement_platform.inbox.ledger import Ledger
from procurement_platform.inbox.pool import DecoderPool
from procurement_platform.inbox.receive import SUPERSEDED
from procurement_platform.lake.files import Lake
from procurement_platform.procurement.handing_in import withdraw
from procurement_platform.procurement.market_files import market_files
from procurement_platform_tests.procurement.shop import DAY, REFERENCE, Shop, count, order


class Killed(BaseException):
    """A run ended here."""


def killed(*_: object, **__: object) -> Never:
    raise Killed


def refused(shop: Shop) -> list[tuple[str, str]]:
    """Market and file of each INVALID_FILE of the day's report."""
    return [(market, file) for rule, market, _, file, _ in shop.exceptions() if rule == "INVALID_FILE"]


def in_use(shop: Shop, market: str = "DE") -> object:
    """The day's gross demand of B in a market."""
    row = shop.demand().get((market, "B"))
    return row["gross_demand"] if row else None


@pytest.mark.parametrize(
    "name",
    ["x" * 240 + ".csv", "x" * 251 + ".csv", "x" * 233, "ü" * 120 + ".csv", "ü" * 125 + ".csvx"],
    ids=lambda n: f"{len(os.fsencode(n))} bytes",
)
def test_a_name_as_long_as_a_file_system_takes_stops_nobody(shop: Shop, name: str) -> None:
    shop.put("orders", "DE", [order("1", "B", 7)])
    shop.all_counted()
    shop.put_bytes("orders", name, b"x")
    for _ in range(2):
        shop.run()
        assert in_use(shop) == 7
        assert len(refused(shop)) == 1
    [kept] = [f for f in shop.ledger().values() if f.state == "rejected"]
    assert shop.platform.lake.read(kept.raw_path) == b"x"
    assert shop.platform.lake.files(f"quarantine/files/orders/{DAY}") == [kept.raw_path.rpartition("/")[2]]


@pytest.mark.parametrize(
    ("one", "other"),
    [("ü" * 90 + "1.csv", "ü" * 90 + "2.csv"), ("\udcff" * 40 + "1.csv", "\udcff" * 40 + "2.csv"), ("a\\xff", "a\udcff")],
    ids=["letters", "bytes", "escapes"],
)
def test_names_that_look_alike_are_told_apart(shop: Shop, one: str, other: str) -> None:
    for name in (one, other):
        shop.put_bytes("orders", name, os.fsencode(name))
    for _ in range(2):
        shop.run()
        assert len({file for _, file in refused(shop)}) == 2
        kept = [f for f in shop.ledger().values() if f.state == "rejected"]
        assert {shop.platform.lake.read(f.raw_path) for f in kept} == {os.fsencode(one), os.fsencode(other)}
    assert all(file.isprintable() for _, file in refused(shop))


def told(shop: Shop) -> tuple[object, ...]:
    """What buyers see of the day."""
    return shop.report(), shop.csvs(), shop.demand()


def send(shop: Shop, *, good: bool) -> Path:
    """DE's stock, which leaves out B; or a correction of it that cannot be read."""
    if good:
        return shop.put("stock", "DE", [count("A", 3)], form="csv")
    return shop.put_bytes("stock", "DE.csv", b"market,sku\nDE,A\n")


@pytest.fixture
def corrected(shop: Shop) -> tuple[Shop, tuple[object, ...]]:
    """A shop whose first stock was followed by a correction that cannot be read; and what was seen before that."""
    shop.put("orders", "DE", [order("1", "B", 7)])
    send(shop, good=True)
    shop.run()
    before = told(shop)
    assert shop.demand()["DE", "B"]["stock_basis"] == "zero"
    send(shop, good=False)
    shop.run()
    assert shop.demand()["DE", "B"]["stock_basis"] == "unknown"
    assert refused(shop) == [("DE", "DE.csv")]
    return shop, before


def test_a_file_sent_again_after_a_broken_correction_takes_its_place(corrected: tuple[Shop, tuple[object, ...]]) -> None:
    shop, before = corrected
    path = send(shop, good=True)
    for _ in range(2):
        shop.run()
        assert told(shop) == before
        assert {f.state for f in shop.platform.ledger.files(DAY) if f.name == "DE" and f.feed == "stock"} == {"accepted", "superseded"}
    path.unlink()
    shop.run()
    assert told(shop) == before


@pytest.mark.parametrize("step", ["record", "moved"])
def test_a_run_killed_while_it_takes_the_file_again_heals(
    corrected: tuple[Shop, tuple[object, ...]], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, before = corrected
    send(shop, good=True)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, step, killed)
        with pytest.raises(Killed):
            shop.run()
    shop.run()
    assert told(shop) == before


def test_a_broken_correction_that_left_the_inbox_is_told_until_the_file_is_sent_again(corrected: tuple[Shop, tuple[object, ...]]) -> None:
    """The file before is read from its raw copy: nobody sent it, and it takes nobody's place."""
    shop, before = corrected
    (shop.inbox / "stock" / DAY.isoformat() / "DE.csv").unlink()
    for _ in range(2):
        shop.run()
        assert refused(shop) == [("DE", "DE.csv")]
        assert shop.demand()["DE", "B"]["stock_basis"] == "unknown"
    send(shop, good=True)
    shop.run()
    assert told(shop) == before


def killed_at(shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch, *, refresh: bool = False) -> None:
    """A run that ends where it would note where raw copies go (`moved`), or where it would move the first (`move`)."""
    move = Lake.move

    def unless_superseded(lake: Lake, source: str, target: str) -> None:
        if f"/{SUPERSEDED}/" in target:
            raise Killed
        move(lake, source, target)

    with monkeypatch.context() as patch:
        if step == "move":
            patch.setattr(Lake, "move", unless_superseded)
        else:
            patch.setattr(Ledger, step, killed)
        with pytest.raises(Killed):
            shop.run(refresh=refresh)


@pytest.mark.parametrize("step", ["moved", "move"])
@pytest.mark.parametrize("form", ["csv", "avro"])
def test_a_run_killed_while_raw_copies_move_leaves_none_that_the_ledger_cannot_find(
    shop: Shop, step: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shop.put("orders", "DE", [order("1", "B", 7)], form=form).read_bytes()
    shop.run()
    second = shop.put("orders", "DE", [order("1", "B", 4)], form=form).read_bytes()
    killed_at(shop, step, monkeypatch)
    shop.run()
    for state, data in (("superseded", first), ("accepted", second)):
        file = shop.ledger()["orders", f"DE.{form}", state]
        assert shop.platform.lake.read(file.raw_path) == data
        assert (f"/{SUPERSEDED}/" in file.raw_path) is (state == "superseded")


@pytest.mark.parametrize("step", ["moved", "move"])
@pytest.mark.parametrize("form", ["csv", "avro"])
def test_a_refused_file_whose_bytes_were_moving_when_the_run_was_killed_comes_back_with_its_market(
    shop: Shop, step: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop.put("orders", "DE", [order("1", "B", 7)], form=form)
    shop.run()
    path.unlink()
    shop.load({"markets": REFERENCE["markets"].replace("DE,Germany", "XX,Nowhere")})
    killed_at(shop, step, monkeypatch, refresh=True)
    shop.load()
    shop.run(refresh=True)
    assert in_use(shop) == 7
    assert refused(shop) == []


def test_a_ledger_that_an_earlier_version_left_wrong_finds_the_bytes(shop: Shop) -> None:
    """It moved first and noted it after: killed in between, the ledger named a place where there was nothing."""
    path = shop.put("orders", "DE", [order("1", "B", 7)])
    shop.run()
    path.unlink()
    [file] = shop.ledger().values()
    shop.load({"markets": REFERENCE["markets"].replace("DE,Germany", "XX,Nowhere")})
    shop.run(refresh=True)
    [moved] = shop.ledger().values()
    shop.platform.ledger.moved({moved.raw_path: file.raw_path})
    shop.load()
    shop.run(refresh=True)
    assert in_use(shop) == 7


def limit(shop: Shop, **limits: int) -> None:
    """Gives the shop's next runs other settings."""
    shop.platform.settings = shop.platform.settings.model_copy(update=limits)
    if "decode_memory_mib" in limits:
        shop.platform.decoders.close()
        shop.platform.decoders = DecoderPool(1, limits["decode_memory_mib"])


LARGE = "DE.csv.gz"
LIMITS = {  # a limit that the large file breaks, and those of other markets do not; and one that it keeps
    "max_file_bytes": (1000, 1_000_000),
    "max_rows_per_file": (2, 10),
    "decode_memory_mib": (80, 768),
}


def send_large(shop: Shop, characters: int = 1_000_000) -> Path:
    """A file with four rows, one of which is so long; small as it is packed."""
    rows = "".join(f"DE,{n},B,1,9.99,2025-12-20T12:00:00Z,{'x' * characters if n == 0 else ''}\n" for n in range(4))
    return shop.put_bytes("orders", LARGE, gzip.compress(f"market,order_id,sku,quantity,unit_price,ordered_at,note\n{rows}".encode(), 1))


@pytest.fixture
def large(shop: Shop) -> Shop:
    """A shop with a file of DE that breaks a limit, and files of others."""
    send_large(shop)
    shop.put("orders", "GB", [order("1", "B", 3)], form="csv")
    for market in ("DE", "GB", "JP"):
        shop.put("stock", market, [count("A", 0)], form="csv")
    return shop


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("stays", [True, False])
def test_a_file_in_use_that_breaks_a_limit_of_today_is_refused_alone_and_counts_again_with_a_higher_one(
    large: Shop, name: str, stays: bool
) -> None:
    low, high = LIMITS[name]
    path = send_large(large, 15_000_000 if name == "decode_memory_mib" else 1_000_000)
    limit(large, **{name: high})
    large.run()
    before, sent = told(large), path.read_bytes()
    if not stays:
        path.unlink()
    limit(large, **{name: low})
    reports = []
    for _ in range(2):
        large.run()
        assert (in_use(large), in_use(large, "GB")) == (None, 3)
        assert refused(large) == [("DE", LARGE)]
        assert ("MISSING_FILE", "DE", "", "", 1) in large.exceptions()
        assert f"PROCUREMENT_{name.upper()}" in large.report()
        reports.append(large.report())
    assert len(set(reports)) == 1
    if stays:
        path.unlink()
        large.run()
        assert large.report() == reports[0]
    limit(large, **{name: high})
    for _ in range(2):
        large.run()
        assert told(large) == before
    [file] = [f for f in large.platform.ledger.files(DAY) if f.market == "DE" and f.feed == "orders"]
    assert (file.state, file.reason, file.awaits_reference) == ("accepted", None, False)
    assert large.platform.lake.read(file.raw_path) == sent


def test_a_file_that_broke_a_limit_when_it_was_sent_counts_with_a_higher_one(large: Shop) -> None:
    limit(large, max_rows_per_file=2)
    large.run()
    (large.inbox / "orders" / DAY.isoformat() / LARGE).unlink()
    large.run()
    assert refused(large) == [("DE", LARGE)]
    limit(large, max_rows_per_file=4)
    large.run()
    assert (in_use(large), refused(large)) == (4, [])


def test_a_correction_that_breaks_a_limit_counts_with_a_higher_one_in_place_of_the_file_before(large: Shop) -> None:
    path = large.inbox / "orders" / DAY.isoformat() / LARGE
    correction = path.read_bytes()
    path.unlink()
    before = large.put("orders", "DE", [order("1", "B", 7)], form="csv")
    limit(large, max_rows_per_file=2)
    large.run()
    before.unlink()
    path.write_bytes(correction)
    for stays in (True, False):
        if not stays:
            path.unlink()
        large.run()
        assert (in_use(large), refused(large)) == (7, [("DE", LARGE)])
        assert "stays in use" in large.report()
    limit(large, max_rows_per_file=4)
    for _ in range(2):
        large.run()
        assert (in_use(large), refused(large)) == (4, [])
    assert sorted(f.state for f in large.platform.ledger.files(DAY) if (f.feed, f.market) == ("orders", "DE")) == ["accepted", "superseded"]


@pytest.mark.parametrize("stays", [True, False])
def test_a_broken_correction_is_told_whatever_a_limit_does_to_the_file_before(large: Shop, stays: bool) -> None:
    large.run()
    path = large.put_bytes("orders", LARGE, b"no,such,columns\n")
    large.run()
    before = told(large)
    if not stays:
        path.unlink()
    limit(large, max_rows_per_file=2)
    for _ in range(2):
        large.run()
        assert in_use(large) is None
        assert {f.state for f in large.platform.ledger.files(DAY) if (f.feed, f.market) == ("orders", "DE")} == {"rejected"}
    limit(large, max_rows_per_file=4)
    large.run()
    assert (in_use(large), refused(large)) == (4, [("DE", LARGE)])
    assert told(large) == before


def test_a_raw_copy_with_other_bytes_is_an_error_that_changes_nothing(large: Shop) -> None:
    large.run()
    before = told(large)
    (large.inbox / "orders" / DAY.isoformat() / "GB.csv").unlink()
    file = large.ledger()["orders", "GB.csv", "accepted"]
    for data in (b"no,such,columns\n", large.platform.lake.read(file.raw_path).replace(b",B,3,", b",B,2,"), b""):
        large.platform.lake.write(file.raw_path, data)
        with pytest.raises(InputGone, match=r"the raw copy of GB\.csv, is not what was sent .* put the file into the inbox again"):
            large.run()
        assert told(large)[1:] == before[1:]
        assert large.ledger()["orders", "GB.csv", "accepted"] == file


def kill_decoders(shop: Shop, file_name: str, times: int) -> threading.Thread:
    """Kills, as the kernel does when memory runs out, the first processes that are at work on a file of DAY's orders."""
    pool, folder = shop.platform.decoders, Path(shop.platform.lake.path(f"raw/orders/{DAY}/_other"))

    def kill() -> None:
        gone: list[int] = []
        deadline = time.monotonic() + 60
        while len(gone) < times and time.monotonic() < deadline:
            for process in list(pool._busy):
                if process.started and process._popen.pid not in gone and list(folder.glob(f".{file_name}.*.tmp")):
                    gone.append(process._popen.pid)
                    os.kill(process._popen.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


@pytest.mark.parametrize("stays", [True, False])
def test_a_file_whose_decoding_the_kernel_ends_is_refused_alone_and_read_by_the_next_run(shop: Shop, stays: bool) -> None:
    row = "DE,1,B,1,9.99,2025-12-20T12:00:00Z\n"
    path = shop.put_bytes("orders", "DE.csv", f"market,order_id,sku,quantity,unit_price,ordered_at\n{row * 200_000}".encode())
    shop.put("orders", "GB", [order("1", "B", 3)])
    limit(shop, decode_memory_mib=512)  # one process: whatever is busy is at that file
    thread = kill_decoders(shop, "DE.csv", times=2)
    shop.run()
    thread.join()
    assert (in_use(shop), in_use(shop, "GB")) == (None, 3)
    assert refused(shop) == [("DE", "DE.csv")]
    assert "lower PROCUREMENT_DECODE_MEMORY_MIB, then run again" in shop.report()
    if not stays:
        path.unlink()
    shop.run()
    assert (in_use(shop), refused(shop)) == (1, [])


def test_a_link_in_the_place_of_a_days_folder_is_refused_and_nothing_behind_it_is_read(shop: Shop, tmp_path: Path) -> None:
    folder = shop.put("orders", "DE", [order("1", "B", 7)]).parent
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    shop.put("stock", "DE", [count("B", 1)])
    for _ in range(2):
        shop.run()
        assert refused(shop) == [("", DAY.isoformat())]
        assert "is a symbolic link, which is never followed: put the files themselves into a folder of that name" in shop.report()
        assert ("DE", "B") in shop.demand()
        assert in_use(shop) == 0
    assert not any(
        "DE" in path.name for f in ("raw", "quarantine/files") for path in Path(shop.platform.lake.path(f"{f}/orders")).rglob("*")
    )
    assert [line.file for line in market_files(shop.platform, DAY) if line.state == "waiting"] == []
    folder.unlink()
    elsewhere.rename(folder)
    assert withdraw(shop.platform, DAY.isoformat(), "is a folder now")
    shop.run()
    assert (in_use(shop), refused(shop)) == (7, [])


def test_a_file_put_where_a_link_was_takes_its_place(shop: Shop, tmp_path: Path) -> None:
    """As the line about the link asks for; what else was refused, or is in use, stays as it is."""
    path = shop.put("orders", "DE", [order("1", "B", 7)], form="csv")
    shop.put("stock", "DE", [count("B", 1)])
    content = path.read_bytes()
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        shop.run()
        assert (in_use(shop), refused(shop)) == (0, [("", "DE.csv")])
    assert "put the file itself here" in shop.report()
    path.unlink()
    path.write_bytes(content)
    shop.put_bytes("orders", "DE__other.csv", b"")
    for _ in range(2):
        shop.run()
        assert (in_use(shop), refused(shop)) == (7, [("DE", "DE__other.csv")])
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    shop.run()
    assert (in_use(shop), sorted(refused(shop))) == (7, [("", "DE.csv"), ("DE", "DE__other.csv")])
    with pytest.raises(ProcurementError, match=r"DE\.csv is 2 files \(.*\): name it by its id$"):
        withdraw(shop.platform, "DE.csv", "why", DAY, "orders")
