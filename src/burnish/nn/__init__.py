"""Ground floor of every net: initialisation, losses, schedules and optimizers."""
