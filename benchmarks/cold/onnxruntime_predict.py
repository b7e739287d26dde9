"""ONNX Runtime: ONNX file and photo to the predicted index.  Usage: onnxruntime_predict.py MODEL IMAGE THREADS"""

import sys

import onnxruntime
from preprocess import preprocess

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[3])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {session.get_inputs()[0].name: preprocess(sys.argv[2])})
print(int(logits.argmax()))
