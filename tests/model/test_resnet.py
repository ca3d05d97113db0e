"""ResNet bodies: sizes, variants, freezing, and the two ways of pooling."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from maskrcnn.model.layers import ConvNorm, FrozenBatchNorm
from maskrcnn.model.resnet import Bottleneck, ConvStyle, ResNet


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


@pytest.mark.parametrize(("size", "c2"), [((64, 96), (16, 24)), ((63, 97), (16, 25)), ((33, 34), (9, 9))])
@pytest.mark.parametrize("depth", [18, 50])
def test_sizes(depth: int, size: tuple[int, int], c2: tuple[int, int]):
    body = ResNet(depth, stem_channels=16)
    expansion = 1 if depth == 18 else 4
    features = body(torch.zeros(2, 3, *size))
    height, width = c2
    for i, level in enumerate(features):  # every stage halves, an odd side is rounded up
        assert tuple(level.shape) == (2, 16 * 2**i * expansion, height, width)
        assert body.channels[i] == level.shape[1]
        height, width = (height + 1) // 2, (width + 1) // 2


@pytest.mark.parametrize(("depth", "convs", "norm_channels"), [(50, 53, 26_560), (101, 104, 52_672)])
def test_layers_of_the_published_bodies(depth: int, convs: int, norm_channels: int):
    with torch.device("meta"):
        body = ResNet(depth)
    assert len(convolutions(body)) == convs
    norms = [part for part in body.modules() if isinstance(part, FrozenBatchNorm)]
    assert sum(len(norm.weight) for norm in norms) == norm_channels


@pytest.mark.parametrize(
    ("name", "depth", "options"),
    [
        ("resnet18", 18, {}),
        ("resnet34", 34, {}),
        ("resnet50", 50, {}),
        ("resnet152", 152, {}),
        ("resnext50_32x4d", 50, {"groups": 32, "width_per_group": 4}),
        ("resnext101_64x4d", 101, {"groups": 64, "width_per_group": 4}),
        ("wide_resnet50_2", 50, {"width_per_group": 128}),
    ],
)
def test_shapes_of_the_weights_are_torchvisions(name: str, depth: int, options: dict[str, int]):
    with torch.device("meta"):
        ours = ResNet(depth, **options)
        theirs = getattr(torchvision.models, name)()
    assert sorted(c.weight.shape for c in convolutions(ours)) == sorted(c.weight.shape for c in convolutions(theirs))


@pytest.mark.parametrize("stride_in_1x1", [False, True])
def test_where_a_bottleneck_strides(stride_in_1x1: bool):
    body = ResNet(50, stem_channels=8, stride_in_1x1=stride_in_1x1)
    first = body.stages[1][0]
    assert isinstance(first, Bottleneck)
    strides = [unit.conv.stride[0] for unit in (first.conv1, first.conv2, first.conv3)]
    assert strides == ([2, 1, 1] if stride_in_1x1 else [1, 2, 1])
    assert [tuple(c.shape[-2:]) for c in body(torch.zeros(1, 3, 45, 64))] == [(12, 16), (6, 8), (3, 4), (2, 2)]


def test_groups_and_their_width():
    body = ResNet(50, stem_channels=64, groups=32, width_per_group=4)
    first = body.stages[0][0]
    assert isinstance(first, Bottleneck)
    assert first.conv2.conv.weight.shape == (128, 4, 3, 3)  # 32 groups of 4 channels
    assert body.channels == (256, 512, 1024, 2048)


@pytest.mark.parametrize("has_bias", [False, True])
def test_conv_bias(has_bias: bool):
    body = ResNet(50, style=ConvStyle("bn", bias=has_bias), stem_channels=8)
    assert all((conv.bias is not None) == has_bias for conv in convolutions(body))


@pytest.mark.parametrize("norm", ["bn", "gn"])
@pytest.mark.parametrize("depth", [18, 50])
def test_a_trained_norm_starts_every_block_as_its_shortcut(depth: int, norm):
    body = ResNet(depth, style=ConvStyle(norm), stem_channels=32)
    block = body.stages[0][1]  # its shortcut changes nothing
    x = torch.rand(1, body.channels[0], 6, 6)
    torch.testing.assert_close(block(x), x)


class TestFreezing:
    @pytest.mark.parametrize("frozen_stages", range(6))
    def test_frozen_parts_get_no_gradient_and_keep_their_statistics(self, frozen_stages: int):
        body = ResNet(18, style=ConvStyle("bn"), stem_channels=8, frozen_stages=frozen_stages)
        parts = [body.stem, *body.stages]
        before = [{k: v.clone() for k, v in part.state_dict().items()} for part in parts]
        body.eval()
        body.train()  # a change of mode must not thaw anything
        if frozen_stages < 5:
            sum(level.sum() for level in body(torch.randn(2, 3, 64, 64))).backward()
        else:
            body(torch.randn(2, 3, 64, 64))
        for i, part in enumerate(parts):
            is_frozen = i < frozen_stages
            assert all((p.grad is None) == is_frozen for p in part.parameters())
            same = [torch.equal(v, before[i][k]) for k, v in part.state_dict().items() if "running" in k]
            assert all(same) if is_frozen else not any(same)

    def test_eval_mode_reaches_all(self):
        body = ResNet(18, stem_channels=8, frozen_stages=2).train()
        body.eval()
        assert not any(part.training for part in body.modules())


class TestStemPool:
    """The stem is replaced by nothing and the stages by nothing, so that the body is its pooling."""

    @staticmethod
    def pool(x: Tensor, kind) -> Tensor:
        body = ResNet(18, stem_channels=8, stem_pool=kind)
        body.stem, body.stages = nn.Identity(), nn.ModuleList([nn.Identity()])
        return body(x)[0]

    def test_even_side_on_paper(self):
        # Windows of 3 at every second pixel of 0 1 2 3. One pixel of padding on both sides: (. 0 1) (1 2 3).
        # TensorFlow pads what is missing, one pixel, on the right: (0 1 2) (2 3 .).
        row = torch.tensor([0.0, 1, 2, 3]).expand(1, 1, 4, 4)
        assert self.pool(row, "symmetric")[0, 0, 0].tolist() == [1, 3]
        assert self.pool(row, "same")[0, 0, 0].tolist() == [2, 3]
        assert self.pool(row.mT, "same")[0, 0, :, 0].tolist() == [2, 3]

    def test_odd_side_on_paper(self):
        # 0 1 2 3 4 needs two more pixels, so both rules pad one on each side: (. 0 1) (1 2 3) (3 4 .).
        row = torch.tensor([0.0, 1, 2, 3, 4]).expand(1, 1, 5, 5)
        for kind in ("symmetric", "same"):
            assert self.pool(row, kind)[0, 0, 0].tolist() == [1, 3, 4]

    def test_padding_never_wins(self):
        below_zero = -torch.rand(1, 2, 6, 7) - 1
        for kind in ("symmetric", "same"):
            pooled = self.pool(below_zero, kind)
            assert tuple(pooled.shape[-2:]) == (3, 4)
            assert -2 <= pooled.min() <= pooled.max() <= -1


@pytest.mark.parametrize("depth", [18, 50])
def test_a_block_is_a_sum_of_what_may_be_negative(depth: int):
    # Neither way ends in a ReLU of its own: it comes after the sum.
    block = ResNet(depth, stem_channels=32, style=ConvStyle(norm="none")).stages[1][0]
    x = torch.randn(2, block.conv1.conv.in_channels, 8, 8)

    def plain(unit: ConvNorm, x: Tensor) -> Tensor:
        conv = unit.conv
        return F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)

    convs = [block.conv1, block.conv2, *([block.conv3] if depth == 50 else [])]
    way = x
    for i, unit in enumerate(convs):
        way = plain(unit, way if i == 0 else way.relu())
    shortcut = plain(block.shortcut, x)
    assert (shortcut < 0).any()
    torch.testing.assert_close(block(x), (way + shortcut).relu(), rtol=1e-4, atol=1e-5)


def test_a_stage_that_is_taken_away_takes_its_map_along():
    body = ResNet(50, stem_channels=8)
    x = torch.randn(1, 3, 64, 64)
    expected = body(x)
    stage = body.pop_stage()
    assert (body.channels, body.strides) == ((32, 64, 128), (4, 8, 16))
    maps = body(x)
    assert len(maps) == 3
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=False))
    assert torch.equal(stage(maps[-1]), expected[-1])


def test_every_entry_of_the_published_body_has_its_place():
    with torch.device("meta"):
        ours, theirs = ResNet(50).state_dict(), torchvision.models.resnet50().state_dict()
    names = {ResNet.published_name(None, entry): value.shape for entry, value in ours.items()}  # pyright: ignore
    expected = {name: value.shape for name, value in theirs.items() if not name.startswith("fc.")}
    assert names == {name: shape for name, shape in expected.items() if not name.endswith("num_batches_tracked")}
