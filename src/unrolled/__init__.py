"""Compare recurrent architectures, honestly, from one command."""

__version__ = "0.1.0"
