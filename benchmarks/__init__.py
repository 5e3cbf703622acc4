"""What measures this project, rather than your machine; run from the repository's root."""
