"""What customers' words say: who they are, yes or no, and what they want ordered."""
