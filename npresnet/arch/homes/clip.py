"""CLIP: a network for images beside one for texts, of which only the former answers here."""

from __future__ import annotations

from npresnet.arch.homes import Home

TEXT = (
    r"^(transformer\.|token_embedding\.|ln_final\.|text\.|positional_embedding$|text_projection$|logit_scale$|logit_bias$"
    r"|input_resolution$|context_length$|vocab_size$|attn_mask$)"
)

CLIP = Home(
    r"^attnpool\.positional_embedding$", left_out=TEXT, note="CLIP's network for texts; this is its network for images"
)
