"""Configuration files: their text, their schema, and the objects that they name."""
