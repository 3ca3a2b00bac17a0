"""What a service logs of its traffic, and whether the world has changed since the export."""
