"""Multi-head attention by plain products and a softmax, which have second derivatives: torch's fused one has none."""

import torch.nn.functional as F
from torch import Tensor, nn


def on_math(net: nn.Module) -> nn.Module:
    """`net` itself, whose multi-head attentions, those of Transformer layers included, compute their weights openly."""
    for layer in net.modules():
        if type(layer) is nn.MultiheadAttention:
            layer.__class__ = MathAttention
        elif isinstance(layer, nn.TransformerEncoderLayer):
            layer.activation_relu_or_gelu = 0  # read by nothing but torch's choice of its fused path in evaluation
    return net


class MathAttention(nn.MultiheadAttention):
    """The same layer on the path that torch takes in training where attention weights are asked for."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs, and the weights where they are needed."""
        swaps = self.batch_first and query.dim() == 3
        if swaps:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        outputs, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=True,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return outputs.transpose(0, 1) if swaps else outputs, weights if need_weights else None
