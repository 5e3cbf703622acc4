"""One run looked at closely: what it got right and wrong, and how sure it was."""
