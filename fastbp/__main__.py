"""`python -m fastbp`, and the console script."""

import sys


def run() -> None:
    """Run the command line of the process."""
    try:
        from fastbp.cli.main import main

        code = main()
    except KeyboardInterrupt:  # interrupted before a command began
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    run()
