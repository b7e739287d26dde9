"""Which of a file's tensors are the network, and under which names.

select            applies the tables of `homes`: the network's own tensors, renamed, and what may be left out
bodies            where in a file a network's body stands; whole copies of it
copies            several networks of unknown names in one file, and the message that asks
normalisers       buffers with the mean and standard deviation of images
structure         hand-written networks of unknown names, by shapes and order; block_roles: the layers of their blocks
wrappers          compiled, sharded and checkpointed modules
reparametrised    weights that are stored as formulas: pruned, weight and spectral norms
refusals          the message where no family takes the tensors
"""
