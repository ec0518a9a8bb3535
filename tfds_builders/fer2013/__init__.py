"""FER2013, with its own labels or with FERPlus's."""
