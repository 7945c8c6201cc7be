"""`testmesh watch`: flows run again when something that they depend on changes."""
