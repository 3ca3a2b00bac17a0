"""Pictures in a folder a class: the user's own data."""

from __future__ import annotations

from typing import Any

from burnish.data.folder_scan import FoundImages, scan
from burnish.data.image_files import ImageFiles, ImageFilesModule

__all__ = ["ImageFiles", "ImageFolder"]


class ImageFolder(ImageFilesModule):
    """``<root>/train/<class>/...`` with optional ``val`` and ``test``, or ``<root>/<class>/...``.

    Without ``val`` it is cut from training by ``split_seed``; without ``test`` there is no final
    test.

    Args:
        shared: see :class:`~burnish.data.image_files.ImageFilesModule`.
    """

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)

    def find(self) -> FoundImages:
        """What lies in the folder."""
        return scan(self.root)
