"""Tests of the read models, fed with events of the real aggregates on a real PostgreSQL."""
