"""What a tutorial shows: FastAPI in front of torchvision's ResNet-18.  Usage: fastapi_torch.py STATE_DICT THREADS

Prints the port that it listens on. Each request is computed for itself, in one of the threads that FastAPI has for
functions that are not `async`.
"""

import io
import socket
import sys

import declare_operators  # noqa: F401  of benchmarks/cold; before torchvision
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import models, transforms

torch.set_num_threads(int(sys.argv[2]))
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
app = FastAPI()


@app.post("/predict")
def predict(image: UploadFile):
    """The best class of a photo in a form."""
    x = preprocess(Image.open(io.BytesIO(image.file.read())).convert("RGB"))[None]
    with torch.inference_mode():
        probabilities = model(x)[0].softmax(0)
    index = int(probabilities.argmax())
    return {"index": index, "score": float(probabilities[index])}


listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]},", file=sys.stderr, flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])
