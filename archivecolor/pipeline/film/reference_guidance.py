"""Lets a film keep to the frames that a person coloured.

Three sources of colour are mixed, pixel by pixel, by how sure each is: what comes from a reference along the motion of
the shot; where no path leads, what a reference shows that looks alike; and where nothing is alike, the network's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from archivecolor.film.survey import Segment
from archivecolor.film.work_folder import ShotState
from archivecolor.imaging import feature_matching, propagation
from archivecolor.imaging.arrays import FloatArray
from archivecolor.imaging.orientation import to_stored, to_upright
from archivecolor.imaging.propagation import MotionPath, ReferenceColors
from archivecolor.imaging.temporal import FlowLink
from archivecolor.pipeline.film.reference_bank import FrameDescriber, ReferenceBank

REFERENCE_LOOKAHEAD = 49
"""Frames that are read beyond a segment of a film with references, so that it sees those that are to come."""
FULL_REACH = 24
"""Frames from which on a reference that is to come counts less, down to nothing where none is seen any more. Where a
segment ends thus makes no difference."""
LEAST_SHARE = 0.01
"""Share of a frame's colours from which on a reference counts as used in it."""


class ReferenceGuidance:
    """Brings the colours of the references to the other frames.

    Args:
        adjust: the network's ab (2, h, w) -> with --strength and --warmth, which references do not take part in.
        along_motion, by_likeness: whether colours come this way; both, except to measure one.
    """

    def __init__(
        self,
        bank: ReferenceBank,
        describer: FrameDescriber,
        orientation: int,
        adjust: Callable[[FloatArray], FloatArray],
        along_motion: bool = True,
        by_likeness: bool = True,
    ) -> None:
        self.shares: dict[str, list[float]] = {}
        """Of the latest segment: see `reference_bank.used_shares`."""
        self._bank, self._describer, self._orientation, self._adjust = bank, describer, orientation, adjust
        self._along_motion, self._by_likeness = along_motion, by_likeness

    def keyframe_colors(self, frame: int, shot: tuple[int, int], lightness: FloatArray, ab: FloatArray) -> FloatArray:
        """The network's ab (2, h, w) of a keyframe, with the colours of what looks alike in the references.

        Args:
            shot: first frame and end of the shot.
            lightness: L* (h, w) of the keyframe as the network sees it.
        """
        adjusted = self._adjust(ab)
        if not self._by_likeness:
            return adjusted
        upright = np.ascontiguousarray(to_upright(lightness, self._orientation))
        cells, whole = self._describer.describe(upright)
        numbers = self._bank.most_alike(whole, frame, shot) if cells else []
        loaded = [self._bank.load(number) for number in numbers]
        references = [(one.cells, one.upright) for one in loaded if one.cells]
        if not references or cells is None:
            return adjusted
        alike = feature_matching.attend(cells, upright, references)
        stored_ab, mask = (to_stored(maps, self._orientation) for maps in (alike.ab, alike.mask))
        return propagation.mix(adjusted, stored_ab, mask)

    def guide(
        self,
        segment: Segment,
        links: Sequence[FlowLink | None],
        chroma: Sequence[FloatArray],
        state: ShotState | None,
    ) -> tuple[list[FloatArray], list[MotionPath]]:
        """The steadied ab (2, h, w) of a segment's frames with the colours that come along the motion.

        Args:
            links: of the frames of the segment and of those read after it; see `KeyframeColorizer`.
            state: what the segment before left, if it is of the same shot.

        Returns:
            ab of each frame, and the paths at the last frame, for the next segment.
        """
        self.shares = {}
        if not self._along_motion or not self._bank.in_frames(segment.shot_start, segment.shot_end):
            return list(chroma), []
        size = chroma[0].shape[1:]
        forward = self._forward_paths(segment, links, size, paths_in(state))
        result, later = list(chroma), list[MotionPath]()
        for i in reversed(range(len(links))):
            frame = segment.start + i
            if i < len(chroma):
                result[i] = self._blended(frame, [forward[i], later], chroma[i])
            if frame in self._bank.references:
                later = self._with_reference(later, frame, size)
            link = links[i]
            if link is not None and i:
                later = [
                    propagation.extend_path(path, link.forth, link.trust_forth)
                    for path in later
                    if path.frame - frame < REFERENCE_LOOKAHEAD
                ]
        self.shares = dict(reversed(self.shares.items()))
        return result, forward[-1]

    def _forward_paths(
        self,
        segment: Segment,
        links: Sequence[FlowLink | None],
        size: tuple[int, ...],
        paths: list[MotionPath],
    ) -> list[list[MotionPath]]:
        """For each frame of the segment, the paths to the references before it and at it, the latest first."""
        result = []
        for frame in range(segment.start, segment.end):
            link = links[frame - segment.start]
            paths = [propagation.extend_path(path, link.back, link.trust_back) for path in paths] if link else []
            if frame in self._bank.references:
                paths = self._with_reference(paths, frame, size)
            result.append(paths)
        return result

    def _with_reference(self, paths: list[MotionPath], frame: int, size: tuple[int, ...]) -> list[MotionPath]:
        new = propagation.start_path(frame, size[0], size[1])
        return propagation.add_reference(paths, new, self._colors(frame).mask)

    def _colors(self, frame: int) -> ReferenceColors:
        return self._bank.load(frame).stored

    def _blended(self, frame: int, directions: list[list[MotionPath]], ab: FloatArray) -> FloatArray:
        blend = propagation.blend_paths(frame, directions, self._colors, _reach)
        if blend is None:
            return ab
        for number, share in blend.shares.items():
            if share >= LEAST_SHARE:
                known = self.shares.setdefault(str(number), [0, 0.0, frame, frame])
                known[:] = known[0] + 1, known[1] + share, min(known[2], frame), max(known[3], frame)
        return propagation.mix(ab, blend.ab, blend.confidence)


def _reach(distance: int) -> float:
    """Factor on the confidence of a reference so many frames after a frame; negative for one before it."""
    return float(np.clip((REFERENCE_LOOKAHEAD - 1 - distance) / (REFERENCE_LOOKAHEAD - 1 - FULL_REACH), 0, 1))


def paths_in(state: ShotState | None) -> list[MotionPath]:
    """The paths that a segment left to the next one."""
    if state is None or "path_frames" not in state:
        return []
    frames = state["path_frames"].astype(int).tolist()
    return [MotionPath(*path) for path in zip(frames, state["path_places"], state["path_trust"], strict=True)]


def with_paths(state: ShotState, paths: Sequence[MotionPath]) -> ShotState:
    """The state of a shot with the paths at its last frame."""
    if not paths:
        return state
    return ShotState(
        **state,
        path_frames=np.array([path.frame for path in paths], np.float32),
        path_places=np.stack([path.places for path in paths]),
        path_trust=np.stack([path.trust for path in paths]),
    )
