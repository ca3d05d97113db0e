"""How far each kind of number may go. Settings also come inside files of strangers, so every number has two limits.

Each limit leaves room around what is published and stops short of what no machine can do; the line beside it says why.
"""

from typing import Annotated

from pydantic import Field

Fraction = Annotated[float, Field(ge=0, le=1)]
FractionBelow1 = Annotated[float, Field(ge=0, lt=1)]

# Pixels. A side of the network's input costs memory: 8192 x 8192 takes 4 GB in a ResNet's stem alone.
MAX_SIDE = 8192
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
LongestSide = Annotated[int, Field(ge=1, le=1_000_000)]  # detectron2's "no limit" is read as this
Pixels = Annotated[int, Field(ge=1, le=10**12)]  # of a picture; the largest scans of slides have 10**11
Length = Annotated[float, Field(ge=0.01, le=100_000)]  # anchors and regions; the papers use 16 to 512
MinLength = Annotated[float, Field(ge=0, le=10_000)]
Level = Annotated[float, Field(ge=0, le=255)]  # a value of a uint8 picture
LevelDivisor = Annotated[float, Field(ge=0.01, le=1000)]  # 0 divides by nothing; 255 brings 0..255 to 0..1
Zoom = Annotated[float, Field(ge=0.01, le=16)]  # of a whole picture; a camera's 2000 px at 16 are 32,000

# Networks. ResNet-152, ResNeXt-152 32x8d and ViTDet have at most 2048 channels, 8 convolutions, 2 layers.
Channels = Annotated[int, Field(ge=1, le=8192)]
Layers = Annotated[int, Field(ge=1, le=32)]
LayersOr0 = Annotated[int, Field(ge=0, le=32)]
Bins = Annotated[int, Field(ge=1, le=64)]  # 7 and 14 in arXiv:1703.06870
Samples = Annotated[int, Field(ge=0, le=16)]  # a side of a bin: 16 are 256 reads of the map
Epsilon = Annotated[float, Field(ge=0, le=0.1)]  # of a variance or a ratio; TensorFlow's 1e-3 is large
Ratio = Annotated[float, Field(ge=0.01, le=100)]  # height / width; a bar of 1 : 100
DeltaWeight = Annotated[float, Field(ge=0.001, le=1000)]  # 1, 5 and 10 are in use; 0 divides by nothing
Beta = Annotated[float, Field(ge=0, le=100)]  # of smooth L1; 1 or less in use

# Numbers of boxes. Every family ranks at most 12,000 (arXiv:1506.01497); NMS compares all pairs.
Candidates = Annotated[int, Field(ge=1, le=50_000)]
Regions = Annotated[int, Field(ge=1, le=100_000)]  # in training; each is 50 kB at 256 channels of 7 x 7
Detections = Annotated[int, Field(ge=1, le=1_000_000)]  # "no limit" of detectron2 and mmdetection is read as this

# Classes: LVIS has 1203, iNaturalist 8142. Ids are whole in JSON up to 2**53.
MAX_CLASSES = 10_000
CategoryId = Annotated[int, Field(ge=-(2**53), le=2**53)]
ClassName = Annotated[str, Field(max_length=1000)]

# Training.
Steps = Annotated[int, Field(ge=1, le=100_000_000)]  # 3 years at one a second
StepsOr0 = Annotated[int, Field(ge=0, le=100_000_000)]
Images = Annotated[int, Field(ge=1, le=65_536)]  # of a step
Rate = Annotated[float, Field(gt=0, le=100)]  # SGD's 0.02 x 8192 / 16 is 10
Decay = Annotated[float, Field(ge=0, le=10)]  # of weights; 0.05 is the largest in use
GradientNorm = Annotated[float, Field(ge=0, le=1e6)]
Processes = Annotated[int, Field(ge=0, le=256)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]  # what torch takes
