"""Pages are well-formed, whole in one file, and no text of a user becomes markup."""

from __future__ import annotations

import re
from base64 import b64decode
from html.parser import HTMLParser

from burnish.report.figures import histogram
from burnish.report.page import Noted, Number, Page, Picture, chart

EVIL = "<script>alert('x')</script> & \"quotes\""
VOID = {"meta", "img", "source", "br"}


class Reader(HTMLParser):
    """Collects tags and text, and checks that every tag is closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def full_page() -> Page:
    page = Page(EVIL, EVIL, EVIL)
    page.facts([(EVIL, EVIL)])
    page.section(EVIL, EVIL)
    page.heading(EVIL)
    page.text(EVIL)
    page.points([EVIL], kind=EVIL)
    page.code(EVIL)
    page.table([EVIL, "n"], [[EVIL, 1234], [Noted(EVIL, EVIL), Number(EVIL, 0.25)]], EVIL)
    page.pictures([Picture(b"\x89PNG...", EVIL, EVIL, "evil")])
    return page


def test_a_picture_does_not_go_where_a_link_of_its_name_leads(tmp_path):
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "dot.png").symlink_to(target)
    page = Page("t")
    page.pictures([Picture(b"\x89PNG", "a dot", name="dot")])
    page.write(tmp_path / "page")
    assert target.read_text() == "mine"
    assert (tmp_path / "page" / "dot.png").read_bytes() == b"\x89PNG"


def test_every_text_is_escaped():
    read = Reader(full_page().html())
    assert read.all("script") == []
    assert sum(EVIL in text for text in read.texts) >= 15
    assert read.all("img")[0]["alt"] == EVIL


def test_the_page_needs_nothing_else():
    html = full_page().html()
    read = Reader(html)
    assert not re.search(r"https?://|url\(|@import", html)
    assert not read.all("link")
    for attributes in read.all("img") + read.all("source"):
        assert (attributes.get("src") or attributes.get("srcset") or "").startswith("data:image/")
    assert any("width=device-width" in (meta.get("content") or "") for meta in read.all("meta"))
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_contents_lead_to_the_sections():
    page = Page("x")
    page.section("One")
    page.section("Two")
    read = Reader(page.html())
    assert [a["href"] for a in read.all("a")] == [f"#{h['id']}" for h in read.all("h2")]


def test_numbers_are_separated_and_bars_stay_in_their_cell():
    page = Page("x")
    page.table(["name", "n", "share"], [["a", 12345, Number("50%", 0.5)], ["b", 1, Number("x", 7)]])
    read = Reader(page.html())
    assert "12,345" in read.texts
    assert [bar["style"] for bar in read.all("i")] == ["width:50.0%", "width:100.0%"]
    assert [head.get("class") for head in read.all("th")] == [None, "n", "n"]


def test_pictures_are_inlined_as_they_are_and_written_beside(tmp_path):
    drawn = histogram("Lengths", [1, 2, 2, 3], "words", "texts")
    page = Page("x")
    page.pictures([chart(drawn, "lengths", "alt"), Picture(b"\xff\xd8JPEG", "a", name="photo")])
    page.pictures([Picture(b"\x89PNG unnamed", "b")])
    path = page.write(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"index.html", "lengths.png", "photo.jpg"}
    assert (tmp_path / "lengths.png").read_bytes() == drawn.light
    read = Reader(path.read_text(encoding="utf-8"))
    sources = [image["src"] or "" for image in read.all("img")]
    assert b64decode(sources[0].split(",")[1]) == drawn.light
    assert b64decode((read.all("source")[0]["srcset"] or "").split(",")[1]) == drawn.dark
    assert sources[1].startswith("data:image/jpeg;")
