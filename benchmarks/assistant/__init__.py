"""What lies between a language model and its customers, measured beside a peer."""
