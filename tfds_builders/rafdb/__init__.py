"""RAF-DB: the basic expressions, faces of the web."""
