"""One file for each provider's protocol."""
