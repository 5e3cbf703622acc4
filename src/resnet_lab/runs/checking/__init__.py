"""What is checked before a run starts, so that nothing fails after hours."""
