"""The gateway's HTTP side: the page and the calls behind it."""
