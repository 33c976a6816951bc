"""What a test sees of an SVG."""

import re
import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg):
    return ET.fromstring(str(svg))


def texts(svg):
    """(x, y, text, class) of every line of text."""
    found = parsed(svg).iter(f"{SVG}text")
    return [(float(t.get("x")), float(t.get("y")), t.text, t.get("class")) for t in found]


def place_of(svg, text):
    return next((x, y) for x, y, said, _ in texts(svg) if said == text)


def lines_of(svg, kind):
    """The points of every polyline of a class."""
    return [
        [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        for line in parsed(svg).iter(f"{SVG}polyline")
        if line.get("class") == kind
    ]


def inside(svg):
    """Whether all text lies on the page, with room for its letters."""
    root = parsed(svg)
    width, height = float(root.get("width")), float(root.get("height"))
    for text in root.iter(f"{SVG}text"):
        size = float(text.get("font-size", 12)) * 0.52 * len(text.text)
        x, y = float(text.get("x")), float(text.get("y"))
        if text.get("transform"):  # upwards
            low = y + {"start": 0, "middle": size / 2}[text.get("text-anchor")]
            if not (low - size >= 0 and low <= height and 0 <= x <= width):
                return False
            continue
        left = x - {"start": 0, "middle": size / 2, "end": size}[text.get("text-anchor")]
        if not (left >= 0 and left + size <= width and 0 <= y <= height):
            return False
    return True


def styled(svg):
    """Whether each class that is used has a rule, in light and in dark."""
    style = next(parsed(svg).iter(f"{SVG}style")).text
    light, _, dark = style.partition("@media(prefers-color-scheme:dark)")
    used = {c for e in parsed(svg).iter() for c in (e.get("class") or "").split()} - {"fastbp"}
    known = [set(re.findall(r"\.fastbp \.(\w+)\{", part)) for part in (light, dark)]
    return used <= known[0] and known[0] == known[1]
