"""Studies: they import the product, and the product does not import them."""
