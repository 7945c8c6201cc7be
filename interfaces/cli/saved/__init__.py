"""Saved runs: written, read with distrust, reported again, replayed, re-checked, compared."""
