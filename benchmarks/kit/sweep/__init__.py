"""The sweep over all architectures of timm and torchvision, and over the layouts of files of other homes.

names       which architectures are ResNets
networks    such a network of PyTorch with random numbers, and what it computes
verdicts    one network as a file: it runs, needs an option, is refused, or is wrong
homes       the same for files of other homes; home_list has all, by home_layouts (other names), home_training (heads,
            copies, wrappers), home_shapes (stems, classifiers, formulas), home_networks (networks of their own)
strangers   what the refusals call all other architectures
jobs        one process a network, with a time limit; libraries is what it imports
tables      docs/families.md from the results
"""
