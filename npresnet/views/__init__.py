"""Images and tables of a model: the torchsummary table, class activation maps, a grid of predicted photos."""
