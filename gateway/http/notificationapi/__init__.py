"""NotificationAPI's REST interface: their paths and bodies in, our RPCs out, with the caller's own credentials."""
