"""The filter: against one written out for a single coordinate, and on paper."""

import numpy as np

from maskrcnn.tracking.motion import DRIFT, FIRST_SPEED, PLACE_NOISE, TURN, Motion


def test_it_is_a_kalman_filter():
    """The x of a square of 10 px, with matrices, as in any textbook."""
    size, seen = 10.0, [50.0, 53.0, 55.5, 59.0]
    state, cov = np.array([seen[0], 0.0]), np.diag([PLACE_NOISE * size, FIRST_SPEED * size]) ** 2
    step, noise = np.array([[1.0, 1.0], [0.0, 1.0]]), np.diag([DRIFT * size, TURN * size]) ** 2
    motion = Motion.start(np.array([[seen[0], 20.0, size, size]]))
    for x in seen[1:]:
        state, cov = step @ state, step @ cov @ step.T + noise
        gain = cov[:, 0] / (cov[0, 0] + (PLACE_NOISE * size) ** 2)
        state = state + gain * (x - state[0])
        cov = cov - np.outer(gain, cov[0])
        motion = motion.later(1.0).seen(np.array([[x, 20.0, size, size]]), np.array([0]))
        np.testing.assert_allclose([motion.place[0, 0], motion.velocity[0, 0]], state, rtol=1e-9)
        np.testing.assert_allclose(motion.variance[0, 0], [cov[0, 0], cov[0, 1], cov[1, 1]], rtol=1e-9)


def test_objects_do_not_depend_on_one_another():
    both = Motion.start(np.array([[10.0, 10, 8, 8], [90.0, 50, 20, 30]])).later(1.0)
    moved = both.seen(np.array([[93.0, 52, 20, 30]]), np.array([1])).later(2.0)
    alone = both[np.array([1])].seen(np.array([[93.0, 52, 20, 30]]), np.array([0])).later(2.0)
    np.testing.assert_array_equal(moved.place[1], alone.place[0])
    np.testing.assert_array_equal(moved.place[0], both.later(2.0).place[0])


def test_a_turn_of_the_camera_moves_places_alone():
    motion = Motion.start(np.array([[10.0, 20, 8, 8]])).later(1.0)
    moved = motion.moved(np.array([5.0, -3.0]))
    assert (moved.place - motion.place).tolist() == [[5.0, -3.0, 0.0, 0.0]]
    np.testing.assert_array_equal(moved.velocity, motion.velocity)
