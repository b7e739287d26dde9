"""npresnet: weight file and photo to the predicted index.  Usage: npresnet_predict.py WEIGHTS IMAGE THREADS"""

import sys

import npresnet

model = npresnet.load(sys.argv[1], threads=int(sys.argv[3]))
print(model.predict(sys.argv[2]).index)
