"""A model scored while it is trained: in a loop of one's own, and as a callback of two trainers."""
