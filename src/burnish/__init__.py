"""burnish: from a composed configuration to a trained and understood PyTorch model."""

from burnish.version import __version__

__all__ = ["__version__"]
