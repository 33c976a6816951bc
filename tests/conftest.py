"""What holds for all tests."""

import os
import signal

# A shell that starts the tests in the background lets them ignore Ctrl-C, and all processes that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Every thread that a test asks for works, also where fewer would be faster; `tests/train/test_calls.py` has the choice.
os.environ["FASTBP_TEAM"] = "all"
