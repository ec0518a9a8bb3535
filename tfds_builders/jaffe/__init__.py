"""JAFFE: ten women posing seven expressions."""
