"""A trained net behind HTTP. Works without torch, Lightning and Hydra."""
