"""python src/export.py run=FOLDER: write a run's net as a bundle; --help says more."""

from burnish.cli import command

if __name__ == "__main__":
    command("export")
