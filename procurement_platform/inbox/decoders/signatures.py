"""What a file is whose name says that it is text: spreadsheets and data files sent under another name."""

from procurement_platform.errors import InvalidFile
from procurement_platform.inbox.decoders import NOT_UTF8

_AS_TEXT = "save the sheet as CSV UTF-8"
_GZIP = b"\x1f\x8b"
_SIGNATURES = (
    (b"PK\x03\x04", f"is an Excel workbook or another zip file: {_AS_TEXT}, or send what is in it"),
    (b"\xd0\xcf\x11\xe0", f"is a workbook of an old Excel: {_AS_TEXT}"),
    (b"PAR1", "is a Parquet file: let its name end in .parquet"),
    (b"Obj\x01", "is an Avro file: let its name end in .avro"),
    (_GZIP, "is packed by gzip: let its name end in .csv.gz"),
    (b"%PDF", "is a PDF: send the rows as CSV"),
    ((b"\xff\xfe", b"\xfe\xff"), f"{NOT_UTF8}: it begins as UTF-16 does; export the file as UTF-8"),
)


def check_is_text(begin: bytes, *, packed: bool = False) -> None:
    """Looks at a text file's first bytes, as they are once it is unpacked where it was `packed`.

    Raises:
        InvalidFile: they are those of another kind of file; the text names it, and the remedy.
    """
    if packed and begin.startswith(_GZIP):
        raise InvalidFile("is packed by gzip twice: pack it once")
    for signature, told in _SIGNATURES:
        if begin.startswith(signature):
            raise InvalidFile(told)
