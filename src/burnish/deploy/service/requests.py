"""From the body of ``POST /predict``, in any of its forms, to the inputs it holds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from burnish.deploy.service.multipart import files
from burnish.deploy.service.refusal import Refused, wrong_field

# Brackets and commas of a JSON body. Every value becomes an object of some 60 bytes; a colour
# picture of 400 x 400 as lists has 800,000. Larger ones are sent as files.
MOST_VALUES = 1_000_000

Image = Annotated[
    str | list[Any],
    Field(
        description="An image file in base64, or its pixels: whole numbers from 0 to 255, "
        "[height][width] or [height][width][3].",
        min_length=1,
    ),
]


class Inputs(BaseModel):
    """One of the four fields; which ones are taken depends on the bundle."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: Image | None = None
    images: Annotated[list[Image], Field(min_length=1)] | None = None
    text: str | None = None
    texts: Annotated[list[str], Field(min_length=1)] | None = None


@dataclass(frozen=True)
class Asked:
    """The inputs of a request.

    Args:
        inputs: image files as bytes, nested lists of pixels, or texts; what cannot even be
            unpacked is the :class:`Refused` that says so.
        single: whether one was asked for, and not a list of one.
    """

    inputs: Sequence[Any]
    single: bool


def read_body(body: bytes, content_type: str, images: bool, max_items: int) -> Asked:
    """Unpack a body; images are not decoded yet. Runs in a thread: a body may be large.

    Args:
        body: of the request.
        content_type: its header.
        images: whether the bundle takes images, else texts.
        max_items: inputs at most.

    Raises:
        Refused: with 413 for too many inputs, 415 for a media type that is not taken, 422 for
            wrong fields, which are named.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return _of_json(body, images, max_items)
    if images and kind == "multipart/form-data":
        found = files(body, content_type, max_items)
        return Asked(found, len(found) == 1)
    if images and (kind.startswith("image/") or kind == "application/octet-stream"):
        return Asked([body], True)
    if not images and kind == "text/plain":
        return Asked([_decoded(body)], True)
    taken = "image/*, multipart/form-data" if images else "text/plain"
    found_kind = f", not {kind[:100]}" if kind else "; the request names none"
    raise Refused(415, f"Content-Type must be {taken} or application/json{found_kind}")


def _of_json(body: bytes, images: bool, max_items: int) -> Asked:
    values = body.count(b"[") + body.count(b",") + body.count(b"{")
    if values > MOST_VALUES:
        raise Refused(413, "the JSON has too many values; send images as files or in base64")
    try:
        given = Inputs.model_validate_json(body)
    except ValidationError as error:
        raise _explained(error) from error
    fields = {name: value for name, value in given if value is not None}
    taken = ("image", "images") if images else ("text", "texts")
    for name in fields:
        if name not in taken:
            raise wrong_field(name, f"this service takes {' or '.join(taken)}")
    if len(fields) != 1:
        raise wrong_field(taken[0], f"exactly one of {' or '.join(taken)} must be given")
    ((name, value),) = fields.items()
    inputs = [value] if name == taken[0] else value
    if len(inputs) > max_items:
        raise Refused(413, f"{name}: {len(inputs)} inputs; at most {max_items} are taken")
    return Asked([_unpacked(one) for one in inputs] if images else inputs, name == taken[0])


def _unpacked(image: str | list[Any]) -> Any:
    if isinstance(image, list):
        return image
    head, comma, rest = image.partition(",")
    data = rest if comma and head.startswith("data:") else image  # a data URL, as pages make them
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return wrong_field("image", "is not base64")


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(422, "the text is not UTF-8") from error


def _explained(error: ValidationError) -> Refused:
    """The first mistake; a branch of a union adds its type to the place, which says nothing."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if not first["loc"]:
        return Refused(422, f"the body is no such JSON: {first['msg']}")
    place = [str(part) for part in first["loc"] if not str(part).startswith(("list[", "str"))]
    if place[0] in ("image", "images") and len(first["loc"]) > 1:
        field = ".".join(place[: 1 if place[0] == "image" else 2])
        return wrong_field(field, "must be an image file in base64 or nested lists of pixels")
    unknown = first["type"] == "extra_forbidden"
    known = ", ".join(Inputs.model_fields)
    message = f"there is no such field; the fields are {known}" if unknown else first["msg"]
    return wrong_field(".".join(place)[:200], message)
