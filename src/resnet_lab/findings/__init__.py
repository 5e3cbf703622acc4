"""Famous findings about residual networks, measured here and judged against the papers."""
