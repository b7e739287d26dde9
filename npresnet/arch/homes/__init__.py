"""Names of other homes, as tables of patterns. A new home is a table, and its name in `tables.HOMES`.

home          what a table holds
torchvision   its names are ours
tables        all tables of supported networks, in the order in which they are tried
foreign       networks that are not supported, and the names that identify them

Two kinds of tables:

- Names of a network: `marks` say which, wherever they stand in a file; `renamed` translates them.
- Tensors beside a network: `found_by` is a pattern of such a tensor, after the network's were translated; `left_out` is
  what is no part of the network's answer, `implied` what their presence tells.

Patterns are regular expressions, matched by `re.search` in tensors' names.
"""
