"""Hold policies: networks, scripted ones, and ones from outside."""
