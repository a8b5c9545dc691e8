"""Texts made shorter for people to read."""


def shorten(text: str, limit: int) -> str:
    """The text, or as many of its words as `limit` characters hold and an ellipsis; a single longer word is cut.

    SQL has the same as `shorten(text, limit)` (`engines/helpers.py`).
    """
    if len(text) <= limit:
        return text
    kept = text[: limit + 1].rpartition(" ")[0].rstrip(" ")
    return f"{kept or text[:limit]}…"
