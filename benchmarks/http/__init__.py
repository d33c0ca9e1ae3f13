"""The same chat over HTTP, served by supportbot and by what people would pick."""
