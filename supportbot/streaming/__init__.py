"""Bytes in, values out: parsers that know no transport, and the protocol over them."""
