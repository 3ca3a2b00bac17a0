"""Data modules, one a file, and what they share: splits, loaders, augmentation."""
