"""The same chat over WebSockets, served by supportbot and by what people would pick."""
