"""folders: labelled images of your own, from one folder for each class or from a table."""
