"""The Lightning side: the module that trains any classifier, its metrics and callbacks."""
