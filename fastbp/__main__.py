"""`python -m fastbp`."""

from fastbp.cli.main import run

if __name__ == "__main__":
    run()
