"""Pictures as text: SVG, and curves in a terminal."""
