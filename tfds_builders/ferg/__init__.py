"""FERG-DB: six animated characters."""
