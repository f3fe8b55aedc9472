"""Text from records, folders and corpora, made safe to show on a terminal and in files."""

import re

# C0 without tab and line feed, DEL, C1; what turns the direction of text; lone surrogates.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """``text`` with control characters written out (``\\x1b``), which a terminal would obey."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def has_control_characters(text: str) -> bool:
    """Whether ``printable`` would change it, or it has a line break or a tab."""
    return bool(_CONTROL.search(text)) or "\n" in text or "\t" in text


def one_line(text: str) -> str:
    """Text of a record or a folder's name: nothing in it that a terminal would obey, nor a new
    line or a tab, which would spoil a table."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
