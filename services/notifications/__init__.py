"""Notifications: the definitions, their templates and defaults."""
