"""python src/eval.py run=FOLDER: score a run's checkpoint; --help says more."""

from burnish.cli import command

if __name__ == "__main__":
    command("eval")
