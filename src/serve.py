"""python src/serve.py run=FOLDER: answer over HTTP from a bundle; --help says more."""

from burnish.cli import command

if __name__ == "__main__":
    command("serve")
