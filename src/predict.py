"""python src/predict.py run=FOLDER: classify files with a run or a bundle; --help says more."""

from burnish.cli import command

if __name__ == "__main__":
    command("predict")
