"""Skip-GANomaly's generator (section III-B and Figure 3), and the networks of the method.

Shapes: N patches, C channels, S the patch's side, d = latent_dim.
"""

from itertools import pairwise

from torch import Tensor, nn

from pipeline.models.convolutions import (
    DownsampleConv2d,
    FromPointConvTranspose2d,
    UpsampleConvTranspose2d,
    WholeMapConv2d,
    concat_skip,
)
from pipeline.models.nets import (
    MAX_WIDENING,
    Discriminator,
    NetShape,
    down_block,
    init_weights,
    leaky_relu,
    relu,
    seeded,
    up_block,
)


class Generator(nn.Module):
    """G: bow-tie encoder and decoder with skip connections, x to x_hat, both (N, C, S, S).

    Encoder level i maps S / 2^i to S / 2^(i+1) by a 4x4 convolution of stride 2; the innermost
    gives z, (N, d, 1, 1). Every decoder level except the innermost also gets the output of the
    encoder level of the same size. Values of x and x_hat are in [-1, 1].

    Deviations from the authors' code: z is d wide, as the text says (section III-B2, Figure 8),
    not always 8 ngf. The innermost kernels are 2x2, not 4x4: on a 2x2 map padded by 1, the 12
    outer taps of a 4x4 kernel only ever meet padding.

    Deviation from the text, as in the authors' code: the encoder's first level is a convolution
    alone, and its innermost has no batch-norm.
    """

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        widths = [shape.ngf * min(2**i, MAX_WIDENING) for i in range(shape.levels - 1)]
        inner = widths[-1]
        self.encoder = nn.ModuleList(
            [
                DownsampleConv2d(shape.channels, widths[0]),
                *(down_block(narrow, wide) for narrow, wide in pairwise(widths)),
                nn.Sequential(leaky_relu(), WholeMapConv2d(inner, shape.latent_dim, 2)),
            ]
        )
        self.decoder = nn.ModuleList(
            [
                up_block(FromPointConvTranspose2d(shape.latent_dim, inner, 2)),
                *(
                    up_block(UpsampleConvTranspose2d(2 * wide, narrow))
                    for wide, narrow in pairwise(widths[::-1])
                ),
                nn.Sequential(
                    relu(),
                    UpsampleConvTranspose2d(2 * widths[0], shape.channels, bias=True),
                    nn.Tanh(),
                ),
            ]
        )
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct x, (N, C, S, S) in [-1, 1], as x_hat of the same shape and range."""
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        x = self.decoder[0](skips.pop())
        for level in self.decoder[1:]:
            x = level(concat_skip(skips.pop(), x))
        return x


def build_networks(shape: NetShape, seed: int) -> dict[str, nn.Module]:
    """Build G and D with weights drawn from `seed` alone."""
    with seeded(seed):
        return {"generator": Generator(shape), "discriminator": Discriminator(shape)}
