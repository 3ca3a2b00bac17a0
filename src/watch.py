"""python src/watch.py LOG: look at what a service logged; --help says more."""

from burnish.cli import command

if __name__ == "__main__":
    command("watch")
