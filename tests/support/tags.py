"""The tags that a browser would see in a text, whether or not it is well-formed."""

from html.parser import HTMLParser


class _Reading(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def tags_in(text: str) -> list[str]:
    """The names of all elements that begin, in their order."""
    reading = _Reading()
    reading.feed(text)
    reading.close()
    return reading.tags
