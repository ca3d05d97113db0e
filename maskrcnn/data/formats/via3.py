"""A project of VIA 3, said as VIA 2 says it: pictures with their regions and the names of attributes."""

from typing import Any

_SHAPES = {
    2: ("rect", ("x", "y", "width", "height")),
    3: ("circle", ("cx", "cy", "r")),
    4: ("ellipse", ("cx", "cy", "rx", "ry")),
}
"""The first number of a region is its sort; by that its name and the names of the other numbers."""
_POINT_LISTS = {6: "polyline", 7: "polygon"}
_OTHERS = {1: "point", 5: "line", 8: "extreme rectangle", 9: "extreme circle"}
_TEXT = 1
"""Of an attribute; the other types are choices among its options."""


def entries_of_3(project: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """An entry of VIA 2 for each view of one file; what is no region in space is left out."""
    files, attributes = project["file"], project["attribute"]
    entries: dict[str, dict[str, Any]] = {}
    for vid, view in project["view"].items():
        fids = view.get("fid_list") if isinstance(view, dict) else None
        file = files.get(str(fids[0])) if isinstance(fids, list) and len(fids) == 1 else None
        if isinstance(file, dict) and isinstance(file.get("fname"), str):
            entries[str(vid)] = {"filename": file["fname"], "regions": {}}
    for mid, region in project["metadata"].items():
        if (
            not isinstance(region, dict)
            or region.get("z")
            or not isinstance(region.get("xy"), list)
            or not region["xy"]
        ):
            continue  # a whole file, or a span of time
        entry = entries.get(str(region.get("vid")))
        if entry is not None:
            named = {
                "shape_attributes": _shape(region["xy"]),
                "region_attributes": _values(region.get("av"), attributes),
            }
            entry["regions"][str(mid)] = named
    return entries


def _shape(xy: list[Any]) -> dict[str, Any]:
    sort, *numbers = xy
    if not isinstance(sort, int):
        return {"name": "unknown"}
    if sort in _POINT_LISTS:
        return {"name": _POINT_LISTS[sort], "all_points_x": numbers[::2], "all_points_y": numbers[1::2]}
    if sort in _SHAPES:
        name, keys = _SHAPES[sort]
        return {"name": name, **dict(zip(keys, numbers, strict=False))}
    return {"name": _OTHERS.get(sort, f"shape {sort!r:.20}")}


def _values(given: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for aid, value in given.items() if isinstance(given, dict) else ():
        about = attributes.get(str(aid))
        if not isinstance(about, dict) or not isinstance(about.get("aname"), str):
            continue
        options = about.get("options")
        if about.get("type") != _TEXT and isinstance(options, dict):
            chosen = [part for part in str(value).split(",") if part]
            values[about["aname"]] = {str(options.get(part, part)): True for part in chosen}
        else:
            values[about["aname"]] = value
    return values
