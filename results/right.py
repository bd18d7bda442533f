"""What papers leave out, each with its effect: `python results/right.py [TOPIC ...]` measures what is not recorded yet.

One thread. A topic's rows go into `results/right/TOPIC.json`; short trainings wait in `build/right` to be tested. When
all is measured, the tables and figures of `docs/right.md` are made of the records; `--page` makes them alone.
"""

import argparse
import sys
import time

import right_figures
import right_tables
import right_tested
import right_trained
import torch
from right_store import measure

TOPICS = {
    "noise": right_tested.noise,
    "norm": right_tested.norm,
    "splits": right_tested.splits,
    "rotations": right_tested.rotations,
    "loss": right_trained.loss,
    "ported": right_tested.ported,
    "selection": right_trained.selection,
    "turns": right_trained.turns,
}


def main(words: list[str]) -> None:
    """Measure the topics, all of them by default, and make the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topics", nargs="*", help="of " + ", ".join(TOPICS))
    parser.add_argument("--page", action="store_true", help="measure nothing")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)
    for topic in [] if arguments.page else arguments.topics or TOPICS:
        for name, work in TOPICS[topic]():
            measure(topic, name, work)
            sys.stdout.write(f"{time.strftime('%H:%M:%S')} {topic}: {name}\n")
            sys.stdout.flush()
    if arguments.page or not arguments.topics:
        right_tables.PAGE.write_text(right_tables.fill(right_tables.PAGE.read_text()))
        right_figures.draw()


if __name__ == "__main__":
    main(sys.argv[1:])
