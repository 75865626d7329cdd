"""Live: what happens to the inboxes, in order, to those who follow them."""
