"""python src/train.py [group=choice] [key=value]: train a classifier; --help says more."""

from burnish.cli import command

if __name__ == "__main__":
    command("train")
