"""The WebSocket API: sessions over one connection, beside the HTTP API."""
