"""PyTorch's files, read and written without torch; whatever a file asks for, nothing of it is run."""
