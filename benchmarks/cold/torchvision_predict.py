"""torch with torchvision, following its tutorials.  Usage: torchvision_predict.py STATE_DICT IMAGE THREADS"""

import sys

import declare_operators  # noqa: F401  before torchvision
import torch
from PIL import Image
from torchvision import models, transforms

torch.set_num_threads(int(sys.argv[3]))
preprocess = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)
model = models.resnet18(weights=None)
model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
model.eval()
with torch.inference_mode():
    logits = model(preprocess(Image.open(sys.argv[2]).convert("RGB"))[None])
print(int(logits.argmax()))
