"""Closed choices of how an evaluation runs. Never imports torch."""

from typing import Literal, get_args

Precision = Literal["fp32", "tf32", "bf16"]
"""Arithmetic of a pass: IEEE float32, float32 with TF32 matrix units, bfloat16 autocast."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Search = Literal["plain", "fused", "compiled"]
"""Form of the network in attacks: as it is; with batch norm folded into the convolutions before it, channels last;
through torch.compile, folded first where that is possible."""
SEARCHES: tuple[Search, ...] = get_args(Search)
Engine = Literal["local", "ray"]
"""Place where chunks are computed: in this process, or on the workers of Ray."""
ENGINES: tuple[Engine, ...] = get_args(Engine)
Rejects = Literal["logit", "flag"]
"""Way in which a network rejects an input: by the last of K+1 logits, or by a score beside its K logits."""
