"""Sub-notifications: the named parts of a notification."""
