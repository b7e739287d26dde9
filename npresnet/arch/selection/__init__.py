"""Which of a file's tensors are the network, and under which names.

select            applies the tables of `homes`: the network's own tensors, renamed, and what may be left out
bodies            where in a file a network's body stands; whole copies of it
normalisers       buffers with the mean and standard deviation of images
reparametrised    weights that are stored as formulas: pruned, weight and spectral norms
refusals          the message where no family takes the tensors
"""
