"""bench: is one training loss really better than another?"""

__version__ = "0.1.0"
