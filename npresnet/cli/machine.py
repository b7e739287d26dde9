"""`npresnet doctor` and `npresnet demo`."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from npresnet.cli.shared import FINE, complain, say

NEXT_STEPS = """next steps:
  npresnet predict YOUR.jpg --model resnet18    1,000 ImageNet classes; downloads the weights once
  npresnet predict YOUR.jpg --model YOUR.pth    your own ResNet, read without torch
  npresnet cam YOUR.jpg -o cam.png              which part of the image the class was seen in
  npresnet doctor                               properties of this machine, with advice
  python -c "import npresnet; print(npresnet.load('demo').predict('YOUR.jpg').top)" """


def doctor(args: Namespace) -> int:
    """Print properties of this machine, and advice."""
    from npresnet.cli.doctor import examine

    say(examine())
    return FINE


def demo(args: Namespace) -> int:
    """Classify the package's sample photo by its demo model, offline."""
    import npresnet

    photo = Path(npresnet.__file__).parent / "data" / "chelsea.jpg"
    with npresnet.load("demo", threads=args.threads) as model:
        prediction = model.predict(photo)
    print(f"{photo.name}, npresnet's sample photo, shows:")
    for candidate in prediction.top:
        print(f"  {candidate.label:<12} {candidate.score:7.2%}")
    sys.stdout.flush()  # before what follows on stderr
    complain(f"in {prediction.elapsed_ms:.1f} ms, by a CIFAR-10 ResNet-20 of 0.27 M parameters")
    complain(NEXT_STEPS.rstrip())
    return FINE
