"""Workers that are killed while they deliver over four channels, and what is left of it: nothing is ever lost."""
