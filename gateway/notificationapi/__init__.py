"""NotificationAPI's words for what Carillon has; HTTP and the socket share them."""
