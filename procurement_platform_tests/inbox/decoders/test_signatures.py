"""Files of other kinds that are sent as CSV are named, with what to do; text is taken, whatever it begins with."""

import gzip

import pytest

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.decoders.signatures import check_is_text
from procurement_platform_tests.inbox.desk import Desk, csv_bytes, order


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (b"PK\x03\x04\x14\0\x06\0", "is an Excel workbook or another zip file: save the sheet as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is a workbook of an old Excel"),
        (b"PAR1\x15\x04", "is a Parquet file: let its name end in .parquet"),
        (b"Obj\x01\x04", "is an Avro file: let its name end in .avro"),
        (b"\x1f\x8b\x08\0", "is packed by gzip: let its name end in .csv.gz"),
        (b"%PDF-1.7", "is a PDF: send the rows as CSV"),
        ("\ufefforder_id,market\n".encode("utf-16-le"), "is not UTF-8: it begins as UTF-16 does"),
        ("\ufefforder_id,market\n".encode("utf-16-be"), "is not UTF-8: it begins as UTF-16 does"),
    ],
)
def test_what_is_no_text_is_named(desk: Desk, begin: bytes, told: str) -> None:
    outcome = desk.decode(begin + b"\n" + csv_bytes([order(1)]), "csv")
    assert outcome.status == "rejected"
    assert told in str(outcome.reason)


@pytest.mark.parametrize("begin", [b"", b"P", b"PK,SKU\n", b"Obj,market\n", b"order_id,market\n", b"\xef\xbb\xbforder_id\n"])
def test_text_is_text(begin: bytes) -> None:
    check_is_text(begin)
    with pytest.raises(InvalidFile):
        check_is_text(b"PK\x03\x04" + begin)


def test_what_is_packed_twice_is_told_so(desk: Desk) -> None:
    outcome = desk.decode(gzip.compress(gzip.compress(csv_bytes([order(1)]))), "csv.gz")
    assert str(outcome.reason).endswith("is packed by gzip twice: pack it once")
