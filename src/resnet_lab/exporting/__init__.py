"""Take a trained network elsewhere: export it, and describe it."""
