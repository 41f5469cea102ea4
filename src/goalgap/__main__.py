"""`python -m goalgap` is `goalgap`."""

from .cli import main

main()
