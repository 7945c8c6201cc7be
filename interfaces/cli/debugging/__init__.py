"""`testmesh debug`: a flow step by step at a prompt."""
