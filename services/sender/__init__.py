"""Sender: the way of one send, and taking it back."""
