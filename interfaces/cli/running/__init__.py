"""`testmesh run`: flows run here or on a server, watched, and their results shown."""
