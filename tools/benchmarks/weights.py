"""torchvision's network with random weights under which it behaves like a trained one, saved for every peer.

Letters: P proposals, K classes.
"""

import warnings
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FrozenBatchNorm2d
from torchvision.transforms.functional import to_tensor

from benchmarks.peers import Job
from benchmarks.workloads import Workload, save_picture
from maskrcnn.data.images import read_image

BRANCH_GAIN = 0.2  # of the last norm of a residual branch; sums of many full branches would drown the early ones
OUTPUTS = {  # mean and standard deviation that each output shall have over the picture
    "rpn.head.cls_logits": (-1.0, 2.0),
    "rpn.head.bbox_pred": (0.0, 0.2),
    "roi_heads.box_predictor.cls_score": (0.0, 1.5),
    "roi_heads.box_predictor.bbox_pred": (0.0, 1.0),
    "roi_heads.mask_predictor.mask_fcn_logits": (0.0, 2.0),
}
SCORE_THRESHOLD = 0.05  # torchvision's default, as for COCO
CANDIDATES = 8  # regions and classes above the threshold for each detection wanted: most fall to NMS or the limit
OPSET = 17  # of ONNX: what the libraries of the last years all know
INPUT, OUTPUTS_ONNX = "pixels", ("boxes", "labels", "scores", "masks")


def prepare(job: Job, image: Path | None, is_exported: bool) -> None:
    """Write the picture, the weights and the exported network, as far as the workload has them, into `job.folder`."""
    save_picture(job.picture, job.workload, image)
    if not job.workload.body:
        return
    torch.manual_seed(0)
    model = build_network(job.workload)
    picture = to_tensor(read_image(job.picture))
    condition(model, picture, CANDIDATES * job.workload.detections)
    torch.save(model.state_dict(), job.weights)
    if is_exported:
        export(model, picture, job.network)


def build_network(workload: Workload) -> MaskRCNN:
    """torchvision's model of `workload`, random, in eval mode."""
    channels, fc_channels, num_classes = workload.channels, workload.fc_channels, workload.num_classes + 1
    body = resnet.__dict__[workload.body](weights=None, norm_layer=FrozenBatchNorm2d)
    widths = [body.inplanes // 2**i for i in (3, 2, 1, 0)]
    backbone = BackboneWithFPN(body, {f"layer{i + 1}": str(i) for i in range(4)}, widths, channels)
    return MaskRCNN(
        backbone,
        min_size=min(workload.size),
        max_size=max(workload.size),
        box_head=TwoMLPHead(channels * 7**2, fc_channels),
        box_predictor=FastRCNNPredictor(fc_channels, num_classes),
        mask_head=MaskRCNNHeads(channels, (channels,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(channels, channels, num_classes),
        box_score_thresh=SCORE_THRESHOLD,
        box_detections_per_img=workload.detections,
    ).eval()


@torch.no_grad()
def condition(model: MaskRCNN, picture: Tensor, num_candidates: int) -> None:
    """Give every norm the statistics of its input and every output a useful spread, over `picture` (3, H, W) 0..1.

    The bias of the background is such that `num_candidates` class scores pass the threshold.
    """
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, resnet.BasicBlock | resnet.Bottleneck):
            last = "bn3" if isinstance(module, resnet.Bottleneck) else "bn2"
            module.get_buffer(f"{last}.weight").fill_(BRANCH_GAIN)
        if isinstance(module, FrozenBatchNorm2d):
            handles.append(module.register_forward_pre_hook(_take_statistics))
        if name in OUTPUTS:
            handles.append(module.register_forward_hook(partial(_spread, target=OUTPUTS[name])))
    layer = model.get_submodule("roi_heads.box_predictor.cls_score")
    class_logits: list[Tensor] = []
    handles.append(layer.register_forward_hook(lambda *call: class_logits.append(call[2])))
    model([picture])
    for handle in handles:
        handle.remove()
    layer.get_parameter("bias")[0] += background_shift(class_logits[0], num_candidates)


def background_shift(class_logits: Tensor, num_candidates: int) -> float:
    """What to add to the background's logit, the first of (P, K + 1), so that so many class scores pass."""
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        shifted = torch.cat([class_logits[:, :1] + middle, class_logits[:, 1:]], dim=1)
        if int((shifted.softmax(dim=1)[:, 1:] > SCORE_THRESHOLD).sum()) > num_candidates:
            low = middle
        else:
            high = middle
    return high


def _take_statistics(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
    norm.get_buffer("running_mean").copy_(mean)
    norm.get_buffer("running_var").copy_(variance + 1e-3)
    norm.get_buffer("bias").uniform_(-0.2, 0.2)


def _spread(layer: nn.Module, inputs: tuple[Tensor], output: Tensor, target: tuple[float, float]) -> Tensor:
    """Rescale `layer` so that each of its channels has the mean and deviation `target`; gives its output then."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    assert layer.bias is not None
    channels = output.transpose(0, 1).flatten(1)
    if not hasattr(layer, "is_spread"):  # the RPN sees five levels; the first and largest counts
        layer.is_spread = True  # pyright: ignore[reportArgumentType]
        gain = target[1] / channels.std(dim=1).clamp(min=1e-6)
        layer.weight.mul_(gain.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.copy_(target[0] + gain * (layer.bias - channels.mean(dim=1)))
    return layer.forward(inputs[0])


class _FromPixels(nn.Module):
    """The network without its preprocessing and without pasting: padded pixels to detections with 28 x 28 masks."""

    def __init__(self, model: MaskRCNN, size: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.size = model, size

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        levels = self.model.backbone(pixels)
        proposals, _ = self.model.rpn(ImageList(pixels, [self.size]), levels)
        (found,), _ = self.model.roi_heads(levels, proposals, [self.size])
        return tuple(found[name] for name in OUTPUTS_ONNX)


@torch.no_grad()
def export(model: MaskRCNN, picture: Tensor, path: Path) -> None:
    """Write the whole network to `path` as ONNX, for pictures of this size."""
    images, _ = model.transform([picture])
    network = _FromPixels(model, images.image_sizes[0]).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sizes become constants is what is wanted
        torch.onnx.export(
            network,
            (images.tensors,),
            str(path),
            dynamo=False,  # the newer exporter stops at NMS, whose result has a size that depends on the data
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS_ONNX),
        )
