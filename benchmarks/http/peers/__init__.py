"""The chat of the benchmark as users of other stacks would write it."""
