"""Backup and restore: what is truth, in one file; read models are built again from it."""
