"""torch with torchvision and a DataLoader: a folder of photos to labels.

Usage: torchvision_folder.py STATE_DICT FOLDER THREADS WORKERS [channels_last]
"""

import json
import sys
from pathlib import Path

import declare_operators  # noqa: F401  before torchvision
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

ARCH = "resnet18"


class Folder(Dataset):
    """The photos of a folder, preprocessed."""

    def __init__(self, folder):
        self.paths = sorted(Path(folder).glob("*.jpg"))
        self.preprocess = transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.preprocess(Image.open(self.paths[index]).convert("RGB"))


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    memory_format = torch.channels_last if "channels_last" in sys.argv[5:] else torch.contiguous_format
    model = getattr(models, ARCH)(weights=None)
    model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
    model.eval().to(memory_format=memory_format)
    photos = Folder(sys.argv[2])
    loader = DataLoader(photos, batch_size=32, num_workers=int(sys.argv[4]))
    with torch.inference_mode():
        logits = torch.cat([model(images.contiguous(memory_format=memory_format)) for images in loader])
    names = [path.name for path in photos.paths]
    found = {name: (int(row.argmax()), float(row.max())) for name, row in zip(names, logits, strict=True)}
    print(json.dumps(found))
