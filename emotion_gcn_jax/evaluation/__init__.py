"""How good a model is: exact metrics over a whole split, and the report that shows them."""
