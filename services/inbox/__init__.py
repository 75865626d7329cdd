"""Inbox: the messages as their recipient sees them."""
