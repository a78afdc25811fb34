"""`python -m detectors.cli`, where the command is not on the path."""

from detectors.cli import main

if __name__ == "__main__":
    main()
