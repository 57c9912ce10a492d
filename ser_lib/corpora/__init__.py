"""Corpus parsers: one module for each corpus, from its files to utterances."""
