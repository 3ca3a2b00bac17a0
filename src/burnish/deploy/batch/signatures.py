"""What bytes are, by how they begin."""

from __future__ import annotations

import re

HEAD = 64  # bytes that tell
# Strict enough that no list of paths begins so. The last three: AVIF, HEIC and other boxes of
# ISO 14496-12, JPEG 2000 in its box (ISO 15444-1, annex I) and bare.
_PICTURE = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*"
    rb"|P[1-6]\s+(?:#|\d+\s+\d)"
    rb"|\0\0..ftyp|\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    re.DOTALL,
)
_HEIC = re.compile(rb"....ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL)
# Blanks, line ends and the NUL of find -print0 aside.
_CONTROL = re.compile(rb"\A\0|[\x01-\x08\x0e-\x1f\x7f]")


def is_picture(head: bytes) -> bool:
    """Whether a picture begins so; a portable pixmap may be a text as well."""
    return bool(_PICTURE.match(head))


def is_heic(head: bytes) -> bool:
    """Whether a photograph of a telephone begins so, which Pillow does not read."""
    return bool(_HEIC.match(head))


def is_binary(head: bytes) -> bool:
    """Whether no text and no list of paths begins so."""
    return bool(_CONTROL.search(head[:HEAD]))


def is_binary_picture(head: bytes) -> bool:
    """Whether a picture begins so, and no text: ``GIF89a`` may be the first word of one."""
    return is_picture(head) and (is_binary(head) or b"\0" in head or b"\xff" in head)
