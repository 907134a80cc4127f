"""`python -m mesh7_cli` is `mesh7`."""

from mesh7_cli import main

if __name__ == "__main__":
    main.main()
