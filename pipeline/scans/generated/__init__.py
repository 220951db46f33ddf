"""Generated dual-energy X-ray baggage, the project's default data."""
