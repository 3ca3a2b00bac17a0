"""python src/explore.py [group=choice] [key=value]: report on a data set; --help says more."""

from burnish.cli import command

if __name__ == "__main__":
    command("explore")
