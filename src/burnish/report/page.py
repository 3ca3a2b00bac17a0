"""One self-contained HTML page: no files beside it are needed, no network, no JavaScript.

It reads well on a telephone, on paper, in light and in dark. Every text is escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

from burnish.report.figures import WIDTH, Drawn
from burnish.runs.folder import write_atomically


@dataclass(frozen=True)
class Picture:
    """An image of a page.

    Args:
        content: a PNG or JPEG file.
        alt: what it shows, for people who do not see it.
        caption: below it.
        name: of the file that is written beside the page, without ending; "" for none.
        dark: shown instead on dark pages.
        width: in pixels of the page; None: the file's own.
        scrolls: whether narrow screens show it in part and scroll, instead of shrinking it.
    """

    content: bytes
    alt: str
    caption: str = ""
    name: str = ""
    dark: bytes | None = None
    width: int | None = None
    scrolls: bool = False

    @property
    def kind(self) -> str:
        """``png`` or ``jpeg``."""
        return "png" if self.content.startswith(b"\x89PNG") else "jpeg"


def chart(drawn: Drawn, name: str, alt: str, caption: str = "", inches: float = WIDTH) -> Picture:
    """A figure as a picture of the page, wide ones in their own size whatever the screen's.

    Args:
        drawn: the figure.
        name: of its file.
        alt: what it shows.
        caption: below it.
        inches: its width.
    """
    width = round(96 * inches)
    return Picture(drawn.light, alt, caption, name, drawn.dark, width, scrolls=inches > WIDTH)


@dataclass(frozen=True)
class Number:
    """A table cell with a number that is written out already.

    Args:
        text: as it shall be read.
        bar: length of a bar behind it, in [0, 1]; None: no bar.
    """

    text: str
    bar: float | None = None


@dataclass(frozen=True)
class Noted:
    """A table cell with a text and a fainter one below it.

    Args:
        text: as it shall be read.
        note: below; "" for none.
    """

    text: str
    note: str


Cell = str | int | Number | Noted


class Page:
    """A page that grows from the top to the bottom.

    Args:
        title: in the window's title and as the heading.
        kind: a word or two above the heading.
        lead: a sentence below it.
    """

    def __init__(self, title: str, kind: str = "", lead: str = "") -> None:
        self.title = title
        self.kind = kind
        self.lead = lead
        self._blocks: list[str] = []
        self._sections: list[str] = []
        self._pictures: list[Picture] = []

    def section(self, title: str, text: str = "") -> None:
        """Begin a section, named in the contents."""
        self._sections.append(title)
        self._blocks.append(f'<h2 id="s{len(self._sections)}">{escape(title)}</h2>')
        if text:
            self.text(text)

    def heading(self, title: str) -> None:
        """A heading within a section."""
        self._blocks.append(f"<h3>{escape(title)}</h3>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self._blocks.append(f"<p>{escape(text)}</p>")

    def points(self, texts: Iterable[str], *, kind: str = "") -> None:
        """A list; ``kind="findings"`` marks what needs a person's eye."""
        items = "".join(f"<li>{escape(text)}</li>" for text in texts)
        self._blocks.append(f'<ul class="{escape(kind)}">{items}</ul>')

    def code(self, text: str) -> None:
        """Something to copy."""
        self._blocks.append(f"<pre><code>{escape(text)}</code></pre>")

    def marked(self, parts: Iterable[tuple[str, float]], caption: str = "") -> None:
        """A text of which some parts are coloured, blue for, orange and dotted against.

        Args:
            parts: the text in pieces with a strength in [-1, 1] each, 0 for plain ones.
            caption: above it.
        """
        head = f"<b>{escape(caption)}</b>" if caption else ""
        text = "".join(_marked(piece, strength) for piece, strength in parts)
        self._blocks.append(f'<div class="text">{head}<p>{text}</p></div>')

    @contextmanager
    def folded(self, title: str) -> Iterator[None]:
        """What is written meanwhile opens with a click; on paper it is open."""
        self._blocks.append(f"<details><summary>{escape(title)}</summary>")
        yield
        self._blocks.append("</details>")

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Key figures: pairs of a name and a value."""
        items = "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts
        )
        self._blocks.append(f'<dl class="facts">{items}</dl>')

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = ""
    ) -> None:
        """A table; numbers stand to the right, texts to the left."""
        rows = [list(row) for row in rows]
        right = [bool(rows) and not isinstance(cell, str | Noted) for cell in (rows or [[]])[0]]
        right += [False] * (len(header) - len(right))
        head = "".join(
            f'<th scope="col"{_RIGHT if r else ""}>{escape(name)}</th>'
            for name, r in zip(header, right, strict=True)
        )
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        text = f"<caption>{escape(caption)}</caption>" if caption else ""
        self._blocks.append(
            f'<div class="wide"><table>{text}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def pictures(self, pictures: Iterable[Picture]) -> None:
        """Pictures with their captions, side by side where there is room."""
        pictures = list(pictures)
        self._pictures += pictures
        self._blocks.append(f'<div class="pictures">{"".join(map(_figure, pictures))}</div>')

    def html(self) -> str:
        """The whole page."""
        contents = "".join(
            f'<a href="#s{number}">{escape(name)}</a>'
            for number, name in enumerate(self._sections, 1)
        )
        kind = f'<p class="kind">{escape(self.kind)}</p>' if self.kind else ""
        lead = f'<p class="lead">{escape(self.lead)}</p>' if self.lead else ""
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
            f"<header>{kind}<h1>{escape(self.title)}</h1>{lead}"
            f'<nav aria-label="Contents">{contents}</nav></header>\n'
            + "\n".join(self._blocks)
            + "\n</main>\n</body>\n</html>\n"
        )

    def write(self, folder: Path) -> Path:
        """Write ``index.html`` and, beside it, every picture that has a name.

        Returns:
            The path of the page.
        """
        for picture in self._pictures:
            if picture.name:
                ending = "png" if picture.kind == "png" else "jpg"
                write_atomically(folder / f"{picture.name}.{ending}", picture.content)
        path = folder / "index.html"
        write_atomically(path, self.html())
        return path


_RIGHT = ' class="n"'
FAINTEST = 0.1  # strengths that would not be seen need no markup


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    if isinstance(cell, Noted):
        note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
        return f"<td>{escape(cell.text)}{note}</td>"
    if isinstance(cell, int):
        return f"<td{_RIGHT}>{cell:,}</td>"
    if cell.bar is None:
        return f"<td{_RIGHT}>{escape(cell.text)}</td>"
    width = f"{100 * min(max(cell.bar, 0.0), 1.0):.1f}%"
    return f'<td class="n bar"><i style="width:{width}"></i><b>{escape(cell.text)}</b></td>'


def _marked(piece: str, strength: float) -> str:
    shade = min(abs(strength), 1.0)
    if not shade >= FAINTEST:
        return escape(piece)
    kind = "for" if strength > 0 else "against"
    return f'<mark class="{kind}" style="--s:{shade:.2f}">{escape(piece)}</mark>'


def _figure(picture: Picture) -> str:
    size = f' width="{picture.width}"' if picture.width else ""
    image = f'<img src="{_inlined(picture.content)}" alt="{escape(picture.alt)}"{size}>'
    if picture.dark is not None:
        dark = f'media="(prefers-color-scheme: dark)" srcset="{_inlined(picture.dark)}"'
        image = f"<picture><source {dark}>{image}</picture>"
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>" if picture.caption else ""
    kind = ' class="strip" tabindex="0"' if picture.scrolls else ""
    return f"<figure{kind}>{image}{caption}</figure>"


def _inlined(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


STYLE = """
:root { color-scheme: light dark; --ink: #1c2127; --muted: #5a6470; --line: #e1e5ea;
  --paper: #ffffff; --soft: #f4f6f8; --accent: #0072b2; --bar: #cfe3f1; --warn: #b45f06;
  --blue: 86 170 230; --orange: 240 160 40; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebef; --muted: #a3adb8; --line: #323a44;
  --paper: #1a1f26; --soft: #232a33; --accent: #56b4e9; --bar: #24506b; --warn: #f0b357;
  --blue: 50 130 200; --orange: 200 120 20; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .6rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 44rem; overflow-wrap: anywhere; }
.kind { color: var(--accent); font-weight: 600; font-size: .85rem; margin: 0 0 .2rem; }
.lead { color: var(--muted); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 1rem 0 0; font-size: .9rem; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
.facts { display: flex; flex-wrap: wrap; gap: 1px; margin: 1rem 0; background: var(--line);
  border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.facts div { flex: 1 1 8rem; background: var(--paper); padding: .6rem .8rem; }
dt { color: var(--muted); font-size: .82rem; }
dd { margin: 0; font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; margin: .5rem 0; } li { margin: .25rem 0; overflow-wrap: anywhere; }
.findings { list-style: none; padding: 0; }
.findings li { border-left: 3px solid var(--warn); background: var(--soft); margin: .5rem 0;
  padding: .45rem .8rem; border-radius: 0 6px 6px 0; }
pre { background: var(--soft); border-radius: 6px; padding: .7rem .9rem; margin: .6rem 0;
  overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  font: .85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.wide { display: inline-block; vertical-align: top; max-width: 100%; overflow-x: auto;
  margin: .8rem 0; padding-right: 2rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0 0 .3rem; overflow-wrap: anywhere; }
th { text-align: left; color: var(--muted); font-weight: 600; }
th, td { padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td { max-width: 34rem; overflow-wrap: break-word; }
tr > :first-child { max-width: 12rem; }
small { display: block; color: var(--muted); }
.n { text-align: right; white-space: nowrap; }
.bar { position: relative; min-width: 5rem; padding-right: .5rem; }
@media (max-width: 34rem) { th, td { padding-right: .55rem; } .bar { min-width: 3.6rem; }
  tr > :first-child { max-width: 7rem; }
  .wide { padding-right: 0; } }
.bar i { position: absolute; left: .2rem; top: .29rem; height: 1.37rem; background: var(--bar);
  border-radius: 2px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.bar b { position: relative; font-weight: 400; }
.pictures { display: inline-flex; vertical-align: top; flex-wrap: wrap; gap: 1.2rem 1.6rem;
  margin: .8rem 0; max-width: 100%; align-items: flex-start; }
figure { margin: 0; max-width: 100%; min-width: 0; }
figure img { max-width: 100%; height: auto; display: block; border-radius: 4px; }
figcaption { contain: inline-size; color: var(--muted); font-size: .85rem;
  margin-top: .3rem; overflow-wrap: anywhere; }
.text { margin: .9rem 0; max-width: 44rem; } .text b { font-size: .9rem; overflow-wrap: anywhere; }
.text p { margin: .15rem 0 0; white-space: pre-wrap; }
mark { color: inherit; border-bottom: 2px solid transparent; border-radius: 2px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.for { background: rgb(var(--blue) / calc(.55 * var(--s)));
  border-color: rgb(var(--blue) / var(--s)); }
.against { background: rgb(var(--orange) / calc(.55 * var(--s)));
  border-bottom: 2px dotted rgb(var(--orange) / var(--s)); }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--accent); }
.strip { overflow-x: auto; } .strip img { max-width: none; }
@media print { :root { --ink: #000; --muted: #444; --line: #bbb; --paper: #fff; --soft: #f3f3f3;
  --accent: #000; --bar: #d5dde3; --warn: #777; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } nav { display: none; }
  figure, tr, li, .facts { break-inside: avoid; } h2, h3 { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .strip img { max-width: 100%; } pre { white-space: pre-wrap; } }
"""
