"""Model folders: identity, and the bundled model."""
