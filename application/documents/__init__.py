"""Flow documents: safe reading of YAML, checking against tables, and building of flow definitions."""
