"""What people run by hand: ``planctonctl`` and the demonstration, one module a verb."""
