"""FETCH."""
