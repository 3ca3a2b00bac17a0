"""One portable format a file: from a net to its file in a bundle."""
