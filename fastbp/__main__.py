"""`python -m fastbp`, and the console script."""

import sys


def run() -> None:
    """Run the command that the process was started with."""
    try:
        from fastbp.cli.main import main

        code = main()
    except KeyboardInterrupt:  # before there was a command to stop
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    run()
