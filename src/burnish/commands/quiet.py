"""Third-party notices that say nothing a user could act on."""

from __future__ import annotations

import logging
import warnings


def quiet() -> None:
    """Silence them; everything else still warns."""
    # Lightning's info lines (devices, tips for other products); its warnings stay.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for message in (
        r"Early stopping conditioned on metric.*",  # names are checked before the run
        r".*LeafSpec.*",  # Lightning 2.6 with torch 2.14, in every fit
        r".*does not have many workers.*",  # batches come from memory: workers would slow them
        r".*is smaller than the logging interval.*",  # the epoch's figures are logged all the same
        r".*AMP with fp16 is not supported on CPU.*",  # said in our own words
        r".*Found \d+ module\(s\) in eval mode.*",
        r".*`ModelCheckpoint`.*not empty.*",
        r".*exists and is not empty.*",
        r"IProgress not found.*",  # tqdm in a notebook without widgets: the bar is text there
        r".*overrides the configure_model.*",
        r".*It is recommended to use `self.log\(.*sync_dist.*",  # the metrics are synchronised
    ):
        warnings.filterwarnings("ignore", message=message)
