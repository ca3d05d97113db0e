from maskrcnn.untrusted.spelling import did_you_mean


def test_the_nearest_name_is_asked_for() -> None:
    assert did_you_mean("nucleii", ["coco", "nuclei"]) == "; did you mean nuclei?"
    assert did_you_mean("NUCLEUS", ["Nucleus"]) == "; did you mean Nucleus?"
    assert did_you_mean("zebra", ["coco", "nuclei"]) == did_you_mean("x", []) == ""


def test_a_word_of_megabytes_is_cut() -> None:
    assert did_you_mean("nuclei" * 10**6, ["nuclei"]) == ""
