"""The files of a form, from bytes that are already in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.deploy.extras import needed
from burnish.deploy.service.refusal import Refused, wrong_field

FIELDS = ("file", "files", "image", "images")


class _Files:
    """Collects parts as the parser meets them; refuses as soon as there are too many."""

    def __init__(self, header: Any, max_items: int) -> None:
        self.found: list[bytes] = []
        self.ended = False
        self._header = header
        self._max_items = max_items

    def begin(self) -> None:
        if len(self.found) == self._max_items:
            raise Refused(413, f"the form has more than {self._max_items} files")
        self._pieces: list[bytes] = []
        self._name, self._value = bytearray(), bytearray()
        self._field = ""

    def name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = self._header(bytes(self._value))
            self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._name, self._value = bytearray(), bytearray()

    def headers(self) -> None:
        if self._field not in FIELDS:
            raise wrong_field(
                self._field[:100] or "form", f"files are taken in the fields {', '.join(FIELDS)}"
            )

    def data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def end(self) -> None:
        self.found.append(b"".join(self._pieces))

    def close(self) -> None:
        self.ended = True

    @property
    def callbacks(self) -> Mapping[str, Any]:
        """As python-multipart names them."""
        return {
            "on_part_begin": self.begin, "on_part_data": self.data, "on_part_end": self.end,
            "on_header_field": self.name, "on_header_value": self.value,
            "on_header_end": self.header, "on_headers_finished": self.headers,
            "on_end": self.close,
        }  # fmt: skip


def files(body: bytes, content_type: str, max_items: int) -> list[bytes]:
    """The files in the order of the form.

    Args:
        body: of the request.
        content_type: with the boundary.
        max_items: files at most.

    Raises:
        Refused: with 413 if there are more, 422 if a field is not one of :data:`FIELDS` or the
            form is damaged.
    """
    parsing = needed("python_multipart.multipart", "serve")
    _, options = parsing.parse_options_header(content_type)
    form = _Files(parsing.parse_options_header, max_items)
    try:
        parser = parsing.MultipartParser(options.get(b"boundary", b""), form.callbacks)
        parser.write(body)
        parser.finalize()
    except ValueError as error:  # its FormParserError is one
        raise Refused(422, "the form is damaged") from error
    if form.found and not form.ended:  # the parser takes what it got for all there was
        raise Refused(422, "the form is damaged: its end is missing")
    if not form.found:
        raise wrong_field("file", "the form has no file")
    return form.found
