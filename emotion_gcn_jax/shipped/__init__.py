"""The model that is shipped: one file, which model_file.py reads; its story is in docs/model_card.md."""
