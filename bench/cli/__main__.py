"""``python -m bench.cli``: for whoever has no ``bench`` on the path."""

from bench.cli import main

main()
