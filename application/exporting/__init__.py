"""Exporting: flows, written as what other tools read."""
