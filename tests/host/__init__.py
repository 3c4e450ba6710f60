"""Plancton on a real systemd, as process 1 of a container, with a real engine inside."""
