"""From a trained net to predictions on files, portable bundles and a service."""
