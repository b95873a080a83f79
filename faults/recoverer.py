"""The process beside the workers that sends again and takes over what is lost."""

from __future__ import annotations

import shop

from triggers_core.recovery import run_forever

INTERVAL_SECONDS = 0.3

if __name__ == "__main__":
    run_forever(shop.STORAGE, interval=INTERVAL_SECONDS)
