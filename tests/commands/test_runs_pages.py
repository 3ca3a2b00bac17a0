"""burnish runs plot and log: a figure and a page of runs whose folders were written by hand."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from PIL import Image

from burnish.commands.runs import main
from burnish.commands.runs_plot import labels
from burnish.errors import ConfigError
from burnish.report.runs_plot import Line, curves_figure
from burnish.runs.listing import read

EVIL = "\x1b[31m<script>$x$|\ud800"


def run(folder: Path, config: dict, typed: tuple[str, ...] = (), epochs: int = 3) -> Path:
    folder.mkdir(parents=True)
    (folder / "overrides.yaml").write_text(yaml.safe_dump(list(typed)))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    best = {"monitor": "val/accuracy", "value": 0.5, "epoch": 1}
    result = {"status": "finished", "best": best, "metrics": {"test/accuracy": 0.25}}
    (folder / "result.json").write_text(json.dumps(result))
    rows = [f"{10 * e},{e},{1 / (e + 1)},{0.5 / (e + 1)}" for e in range(epochs)]
    header = "step,epoch,val/loss,train/loss"
    (folder / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


@pytest.fixture
def root(tmp_path):
    day = tmp_path / "train" / "day"
    run(day / "a", {"optimizer": {"lr": 0.1}, "seed": 0})
    run(day / "b", {"optimizer": {"lr": 0.01}, "seed": 1})
    return tmp_path


def test_a_figure_is_drawn_in_each_form(capsys, root, tmp_path):
    picture, drawing = tmp_path / "f.png", tmp_path / "f.svg"
    names = ["a", "b", "--metric", "train/loss", "--root", str(root), "--output"]
    assert main(["plot", *names, str(picture)]) == 0
    assert Image.open(picture).size[0] > 800
    assert main(["plot", *names, str(drawing)]) == 0
    first = drawing.read_bytes()
    assert first.startswith(b"<?xml")
    assert main(["plot", *names, str(drawing)]) == 0
    assert drawing.read_bytes() == first  # no date, no chance
    assert "train/loss; runs: 2" in capsys.readouterr().out


def test_mistakes_of_a_plot(root, tmp_path):
    def refused(match: str, *argv: str) -> None:
        with pytest.raises(ConfigError, match=match):
            main(["plot", *argv, "--root", str(root)])

    refused("ends in neither", "a", "--output", "f.pdf")
    refused("is no folder", "a", "--output", str(tmp_path / "none" / "f.png"))
    refused("no run logged val/los; did you mean val/loss", "a", "--metric", "val/los")
    refused("chooses runs where none is named", "a", "--where", "best>0")
    (root / "train/day/a/metrics.csv").unlink()
    refused("none of them logged", "a")
    for index in range(20):
        run(root / "train/day" / f"more{index}", {})
    refused("at most 20 in one figure, found 22", "--where", "best>0")


def labelled(folder: Path, *configs: tuple[dict, tuple[str, ...]]) -> list[str]:
    return labels([
        read(run(folder / f"r{place}", config, typed))
        for place, (config, typed) in enumerate(configs)
    ])  # fmt: skip


def test_labels_say_what_differs(tmp_path):
    def config(lr: float, seed: int, **more) -> dict:
        return {"optimizer": {"lr": lr, "decay": lr / 10}, "seed": seed, **more}

    both = labelled(tmp_path / "a", (config(0.1, 0), ("optimizer.lr=0.1",)), (config(0.2, 0), ()))
    assert both == ["lr=0.1", "lr=0.2"]  # what was typed; the rest may follow from it
    untyped = labelled(tmp_path / "b", (config(0.1, 0), ()), (config(0.2, 0), ()))
    assert untyped == ["decay=0.01, lr=0.1", "decay=0.02, lr=0.2"]
    assert labelled(tmp_path / "c", (config(1, 3), ()), (config(1, 4), ())) == ["seed=3", "seed=4"]
    assert labelled(tmp_path / "d", (config(1, 3), ()), (config(1, 3), ())) == ["r0", "r1"]
    assert labelled(tmp_path / "e", (config(1, 3), ())) == ["r0"]
    switches = labelled(
        tmp_path / "f", (config(1, 3, ema={"enabled": True}), ()),
        (config(1, 3, ema={"enabled": False}), ()),
    )  # fmt: skip
    assert switches == ["ema.enabled=true", "ema.enabled=false"]


@pytest.mark.parametrize("count", [1, 5, 20])
def test_any_text_and_any_number_of_runs_can_be_drawn(count):
    odd = [(1, float("nan")), (2, float("inf")), (3, 1.0)]
    lines = [Line(f"$\\frac{{{i}}} 学习率", {"val/loss": odd, "x": []}) for i in range(count)]
    assert curves_figure(lines, ["val/loss", "train/loss", "x"], "png").startswith(b"\x89PNG")


# --- log -----------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """Texts by the tag that they stand in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.tags[-1], data.strip()))


def page(root: Path, *argv: str) -> Seen:
    assert main(["log", *argv, "--root", str(root), "--output", str(root / "log.html")]) == 0
    return Seen((root / "log.html").read_text(encoding="utf-8"))


STORY = """\
# a

Began **well**, with `x=1` and simple_cnn, \\*starred\\* &lt;b>.

```sh
python src/train.py 'a|b'
```

## Results

| figure | value |
| :-- | --: |
| a\\|b | 0.5 |

## Next step

- *first*
- second

    def indented(): ...

<script>alert(1)</script>
"""


def test_the_page_tells_every_run(root):
    (root / "train/day/a/experiment.md").write_text(STORY)
    seen = page(root)
    for tag, text in [
        ("h2", "a"), ("p", "Began well, with x=1 and simple_cnn, *starred* <b>."),
        ("code", "python src/train.py 'a|b'"), ("h3", "Results"), ("td", "a|b"), ("td", "0.5"),
        ("li", "first"), ("li", "second"), ("code", "def indented(): ..."),
        ("p", "<script>alert(1)</script>"), ("p", "finished; no experiment.md was written."),
    ]:  # fmt: skip
        assert (tag, text) in seen.texts
    assert "script" not in seen.tags
    assert seen.tags.count("h1") == 1


def test_the_newest_come_first_and_only_some(root, capsys):
    for place, name in enumerate("ba"):
        path = root / "train/day" / name / "result.json"
        began = f"2026-01-{place + 1:02d}T12:00:00+00:00"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"began": began, "seconds": 1}))
    assert [text for tag, text in page(root).texts if tag == "h2"] == ["All runs", "a", "b"]
    assert [text for tag, text in page(root, "--limit", "1").texts if tag == "h2"][1:] == ["a"]
    assert "and 1 older: --limit 0 takes all" in capsys.readouterr().out


def test_a_hostile_story_is_text_and_soon_read(root):
    story = root / "train/day/a/experiment.md"
    story.write_bytes(
        EVIL.encode(errors="surrogatepass").replace(b"\xed\xa0\x80", b"") + b"\n" + b"`" * 50_000
        + b"\n" + b"_a " * 50_000 + b"\n|" + b"|" * 50_000 + b"\n" + b"[" * 50_000
    )  # fmt: skip
    seen = page(root)
    assert "script" not in seen.tags
    assert not re.search(r"[\x00-\x08\x1b]", (root / "log.html").read_text())
    story.write_bytes(b"\xff\xfe")
    assert ("p", "finished; no experiment.md was written.") in page(root).texts
    story.unlink()
    story.symlink_to("/etc/hostname")
    assert ("p", "finished; no experiment.md was written.") in page(root).texts


def test_mistakes_of_a_log(root):
    with pytest.raises(ConfigError, match=r"does not end in \.html"):
        main(["log", "--root", str(root), "--output", str(root / "x.md")])
    with pytest.raises(ConfigError, match="is no folder"):
        main(["log", "--root", str(root), "--output", str(root / "none" / "x.html")])
