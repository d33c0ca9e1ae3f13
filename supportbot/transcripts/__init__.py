"""Where the events of conversations live."""
