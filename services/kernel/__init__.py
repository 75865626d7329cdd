"""What every service stands on and what knows no service: server, errors, authentication, storage, logging."""
