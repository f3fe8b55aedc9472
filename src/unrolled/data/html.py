"""HTML to plain text."""

from html.parser import HTMLParser


def strip_html(text: str) -> str:
    """The text between the tags, without scripts and styles, its entities resolved."""
    stripper = _TextBetweenTags()
    stripper.feed(text)
    stripper.close()
    return "".join(stripper.parts)


class _TextBetweenTags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in ("script", "style")
        # <br>, </p> and the like separate words.
        self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in ("script", "style")))
        self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)
