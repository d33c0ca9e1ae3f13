"""Where a person types, and reads the answers."""
