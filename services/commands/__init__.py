"""The commands that have more to them than a call: what they take, do and print."""
