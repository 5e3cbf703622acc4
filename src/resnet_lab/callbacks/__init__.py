"""One small callback a file."""
