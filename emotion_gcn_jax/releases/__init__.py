"""Releases of real datasets as their licensees have them on disk: their layouts, their broken entries, the building."""
