"""Rows of words: how a language model holds what single tokens stand for."""
