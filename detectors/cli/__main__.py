"""`python -m detectors.cli`, where the command is not on the path."""

from detectors.cli import main

main()
