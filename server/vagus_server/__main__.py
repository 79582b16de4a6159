"""`python -m vagus_server`."""

from vagus_server.cli import main

if __name__ == "__main__":
    main()
