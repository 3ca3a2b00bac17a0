"""python src/diagnose.py [group=choice] [key=value]: checks before a run; --help says more."""

from burnish.cli import command

if __name__ == "__main__":
    command("diagnose")
