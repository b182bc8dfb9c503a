"""A sweep over a million connections, of which five in a hundred are due."""
