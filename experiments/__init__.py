"""Studies that import the product, and that nothing imports."""
