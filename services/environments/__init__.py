"""Environments: the tenants, their secrets and settings."""
