"""serve: answer over HTTP from a bundle; a run is exported first."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.deploy.bundle import Bundle, is_bundle, read_bundle
from burnish.deploy.service.running import serve
from burnish.deploy.service.settings import KEY_VARIABLE, Settings, settings
from burnish.deploy.watch.log import check_log
from burnish.errors import BundleError


def main(options: Mapping[str, Any]) -> int:
    """The verb.

    Args:
        options: keys of ``conf/serve.yaml``.

    Raises:
        BundleError: if a bundle is damaged or of a format for other servers.
        ConfigError: if a value is out of its range, or the port is taken.
        RunError: if there is no such run.
    """
    options = {**options, "threads": options["threads"] or None}
    shadow = options["shadow"]
    # Mistakes first: an export takes longer than one deserves.
    early = settings(options, Path(), None if shadow is None else Path())
    if early.log is not None:
        check_log(early.log, early.log_max_mb)
    bundle = served(str(options["run"]), options["checkpoint"], options["trust"])
    second = None if shadow is None else served(str(shadow), "best", options["trust"])
    told = settings(options, bundle.path, second.path if second else None)
    if told.api_key is None and not told.loopback:
        print(
            f"warning: host={told.host} is reachable from elsewhere and anybody may ask: "
            f"set {KEY_VARIABLE} in the environment",
            file=sys.stderr,
        )
    _say(bundle, second, told)
    serve(told)
    return 0


def served(location: str, checkpoint: str, trusted: Sequence[str]) -> Bundle:
    """The bundle of what was typed; only a run needs torch.

    Raises:
        BundleError: if its format is for other servers.
        RunError: if there is no such run.
    """
    path = Path(location).expanduser()
    if is_bundle(path):
        bundle = read_bundle(path)
    else:
        from burnish.commands.exporting import ready_bundle

        bundle = ready_bundle(location, checkpoint, trusted)
    if bundle.format != "onnx":
        raise BundleError(f"{bundle.path}: the service takes format=onnx, found {bundle.format}")
    return bundle


def _say(bundle: Bundle, second: Bundle | None, told: Settings) -> None:
    print(f"{bundle.name}  version {bundle.version}")
    if second is not None:
        share = f"{told.split:.0%} of the requests" if told.split else "as a shadow"
        print(f"{second.name}  version {second.version}  {share}")
