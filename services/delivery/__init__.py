"""Delivery: the worker that hands messages to providers, and one file for each provider's protocol."""
