"""Tests of flow documents: reading, checking, building, finding."""
