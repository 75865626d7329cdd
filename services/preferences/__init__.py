"""Preferences: what users want to get, where and how often."""
