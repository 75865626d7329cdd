"""Users: the people who can receive notifications."""
