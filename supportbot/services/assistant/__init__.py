"""A language model with tools, within rules that it can not talk its way around."""
