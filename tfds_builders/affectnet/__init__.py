"""AffectNet, from the original release or the one of March 2021."""
