"""`npresnet doctor` and `npresnet demo`: what is here, and that it works."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from npresnet.cli.shared import FINE, complain

NEXT_STEPS = """next steps:
  npresnet predict YOUR.jpg --model resnet18    1,000 ImageNet classes; downloads the weights once
  npresnet predict YOUR.jpg --model YOUR.pth    your own ResNet, read without torch
  npresnet cam YOUR.jpg -o cam.png              where in the picture it saw that
  npresnet doctor                               what this machine has, and what would make it faster
  python -c "import npresnet; print(npresnet.load('demo').predict('YOUR.jpg').top)" """


def doctor(args: Namespace) -> int:
    """Print what this machine has, and advice."""
    from npresnet.cli.doctor import examine

    print(examine())
    return FINE


def demo(args: Namespace) -> int:
    """Predict the photo that comes with the package by the model that comes with it, offline."""
    import npresnet

    photo = Path(npresnet.__file__).parent / "data" / "chelsea.jpg"
    with npresnet.load("demo", threads=args.threads) as model:
        prediction = model.predict(photo)
    print(f"{photo.name}, a photo that comes with npresnet, shows:")
    for candidate in prediction.top:
        print(f"  {candidate.label:<12} {candidate.score:7.2%}")
    print(f"in {prediction.elapsed_ms:.1f} ms, by a CIFAR-10 ResNet-20 of 0.27 M parameters", flush=True)
    complain(NEXT_STEPS.rstrip())
    return FINE
