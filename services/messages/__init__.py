"""Messages: what was sent, one document a message."""
