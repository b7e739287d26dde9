"""What draft=True changes, JPEG photos scaled while they are decoded: labels, logits, pixels, and the time.

    python benchmarks/draft.py                      CIFAR-10's test pictures enlarged, crops of photos, large photos
    python benchmarks/draft.py --cifar 500 --crops 2 --photos 5 --output draft.json

Trained weights exist for 32x32 pixels: the demo model answers for the first two sets. The third has phones' sizes and a
resnet18 with random weights, whose labels mean nothing; what counts there are pixels and time. The test data is found
as the tests find it, by NPRESNET_TEST_DATA. A margin of 3 means: decoded at the smallest size that is at least three
times what the resize needs. Times are of one thread's own work, so that a busy machine disturbs them little.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import npresnet
from benchmarks.kit import draft, photos
from benchmarks.kit.script import command, default_path, default_text, say
from npresnet.bench import machine, results, tables
from npresnet.bench.arguments import count
from npresnet.bench.run import Entry
from npresnet.images import preset

TIMES = 16  # 32x32 pixels become 512x512


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=count, default=10_000, metavar="N", help="pictures of CIFAR-10 (10000)")
    parser.add_argument("--crops", type=count, default=40, metavar="N", help="crops of each photo (40)")
    parser.add_argument("--photos", type=count, default=100, metavar="N", help="photos of 1 to 12 megapixels (100)")
    parser.add_argument("--output", type=Path, help=default_text("draft"))
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run, print the tables, write the JSON."""
    options = parse(arguments)
    settings = {"threads": 1, "versions": machine.library_versions(("numpy", "pillow"))}
    entry = results.header("draft", command("draft", arguments), **settings, sets=list(_sets(options)))
    for case in entry["sets"]:
        print(draft.table(case).to_text(), end="\n\n")
    print(tables.conditions(entry))
    results.write(options.output or default_path("draft", entry), entry)
    return 0


def _sets(options: argparse.Namespace) -> Iterator[Entry]:
    demo, how = npresnet.load("demo"), preset("cifar10")
    if photos.has_cifar():
        say("CIFAR-10's test pictures, enlarged")
        title = f"CIFAR-10's test pictures enlarged to {32 * TIMES}x{32 * TIMES}, demo model"
        yield draft.compare(title, demo, how, photos.enlarged_cifar(TIMES, options.cifar))
    say("crops of photos")
    crops = ((data, "") for data in photos.crops(options.crops))
    yield draft.compare("crops of ImageNet photos, demo model", demo, how, crops)
    say("photos of 1 to 12 megapixels")
    with tempfile.TemporaryDirectory(prefix="npresnet-draft-") as folder:
        photos.write_phone_photos(Path(folder), options.photos)
        files = ((path.read_bytes(), "") for path in sorted(Path(folder).iterdir()))
        title = "photos of 1 to 12 megapixels, resnet18 with random weights"
        yield draft.compare(title, npresnet.build("resnet18"), preset("V1"), files)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
