"""The graph of the nine nodes: how strongly they are linked (adjacency) and what they mean (word vectors)."""
