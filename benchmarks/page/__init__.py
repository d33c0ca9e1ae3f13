"""How fast the web page is there, and how smooth it stays."""
