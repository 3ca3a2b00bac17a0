"""What is settled before a run starts: paths, resolvers, and the checks of a configuration."""
