"""CK+: the labelled sequences of posed expressions."""
