"""Texts made shorter for people to read."""

from collections.abc import Sequence


def first_few(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """As many names as `most`, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return separator.join(names[:most]) + more


def shorten(text: str, limit: int) -> str:
    """The text, or as many of its words as `limit` characters hold with an ellipsis after them; a single longer word is cut.

    SQL has the same as `shorten(text, limit)` (`engines/helpers.py`).
    """
    if len(text) <= limit:
        return text
    kept = text[:limit].rpartition(" ")[0].rstrip(" ")
    return f"{kept or text[: limit - 1]}…"
