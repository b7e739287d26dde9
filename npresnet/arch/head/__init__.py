"""The classifier: whatever linear layers, norms and activations stand on the body's pooled features.

reading   which tensors of a file are the classifier's, and in which order
gaps      what stands where no tensor tells; the pool and the scores by the numbers of features and classes
choice    the caller's choice of one of several classifiers
build     Head, its options, and the layers
named     one linear layer of a known name, for families that have no other
"""
