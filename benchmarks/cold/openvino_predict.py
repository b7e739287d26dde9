"""OpenVINO: ONNX file and photo to the predicted index.  Usage: openvino_predict.py MODEL IMAGE THREADS"""

import sys

import openvino
from preprocess import preprocess

core = openvino.Core()
model = core.read_model(sys.argv[1])
model.reshape([1, 3, 224, 224])
settings = {"INFERENCE_NUM_THREADS": int(sys.argv[3]), "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
logits = core.compile_model(model, "CPU", settings)(preprocess(sys.argv[2]))[0]
print(int(logits.argmax()))
