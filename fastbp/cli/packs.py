from typing import Any


def summary(result: dict[str, Any]) -> str:
    return "\n".join(map(str, result["members"]))
