"""Tools: their kinds, names, schemas and inputs."""
