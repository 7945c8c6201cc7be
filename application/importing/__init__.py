"""Importing: what other tools wrote, read into drafts of flows and written as flow files."""
