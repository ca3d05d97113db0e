"""The classes of COCO (arXiv:1405.0312): for files that hold 80 or 90 of them, or 53 kinds of stuff, and no names."""

_NAMES = """
1 person; 2 bicycle; 3 car; 4 motorcycle; 5 airplane; 6 bus; 7 train; 8 truck; 9 boat; 10 traffic light;
11 fire hydrant; 13 stop sign; 14 parking meter; 15 bench; 16 bird; 17 cat; 18 dog; 19 horse; 20 sheep; 21 cow;
22 elephant; 23 bear; 24 zebra; 25 giraffe; 27 backpack; 28 umbrella; 31 handbag; 32 tie; 33 suitcase; 34 frisbee;
35 skis; 36 snowboard; 37 sports ball; 38 kite; 39 baseball bat; 40 baseball glove; 41 skateboard; 42 surfboard;
43 tennis racket; 44 bottle; 46 wine glass; 47 cup; 48 fork; 49 knife; 50 spoon; 51 bowl; 52 banana; 53 apple;
54 sandwich; 55 orange; 56 broccoli; 57 carrot; 58 hot dog; 59 pizza; 60 donut; 61 cake; 62 chair; 63 couch;
64 potted plant; 65 bed; 67 dining table; 70 toilet; 72 tv; 73 laptop; 74 mouse; 75 remote; 76 keyboard;
77 cell phone; 78 microwave; 79 oven; 80 toaster; 81 sink; 82 refrigerator; 84 book; 85 clock; 86 vase; 87 scissors;
88 teddy bear; 89 hair drier; 90 toothbrush
"""
NAME_OF_ID: dict[int, str] = {
    int(number): name for number, _, name in (item.strip().partition(" ") for item in _NAMES.split(";"))
}
"""The category ids run to 90 with ten gaps."""
CLASS_NAMES = tuple(NAME_OF_ID.values())
CATEGORY_IDS = tuple(NAME_OF_ID)
CLASS_NAMES_WITH_GAPS = tuple(NAME_OF_ID.get(number, f"unused {number}") for number in range(1, 91))
"""One for every id 1..90, as torchvision's files have them."""
GAPS = {name: -number for number, name in enumerate(CLASS_NAMES_WITH_GAPS, start=1) if number not in NAME_OF_ID}
"""Classes that stand for no category, each with a number that is no category's id."""

_STUFF = """
92 banner; 93 blanket; 95 bridge; 100 cardboard; 107 counter; 109 curtain; 112 door-stuff; 118 floor-wood; 119 flower;
122 fruit; 125 gravel; 128 house; 130 light; 133 mirror-stuff; 138 net; 141 pillow; 144 platform; 145 playingfield;
147 railroad; 148 river; 149 road; 151 roof; 154 sand; 155 sea; 156 shelf; 159 snow; 161 stairs; 166 tent; 168 towel;
171 wall-brick; 175 wall-stone; 176 wall-tile; 177 wall-wood; 178 water; 180 window-blind; 181 window; 184 tree;
185 fence; 186 ceiling; 187 sky; 188 cabinet; 189 table; 190 floor; 191 pavement; 192 mountain; 193 grass; 194 dirt;
195 paper; 196 food; 197 building; 198 rock; 199 wall; 200 rug
"""
_STUFF_OF_ID: dict[int, str] = {
    int(number): name for number, _, name in (item.strip().partition(" ") for item in _STUFF.split(";"))
}
STUFF_NAMES = tuple(_STUFF_OF_ID.values())
"""Of COCO panoptic (arXiv:1801.00868), as detectron2 shows them: without the "-other" and "-merged" of the data set."""
STUFF_IDS = tuple(_STUFF_OF_ID)
