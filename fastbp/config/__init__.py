"""Configuration files: their text, what they may hold, and the objects that they name."""
