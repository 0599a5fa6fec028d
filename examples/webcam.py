"""Show a webcam upscaled: `python examples/webcam.py`, or with a file in its place `python examples/webcam.py in.mp4`.

Needs OpenCV with a window system (`pip install opencv-python`). Add `--no-window` to print instead of showing.
The newest frame is shown; frames that come while the machine is busy are dropped, so the picture is never late.
"""

import argparse
import sys
from collections.abc import Iterator

import cv2
import numpy as np

import esr_client
from esr_client import Delivery


def frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """Give the frames of a camera or a file as (H, W, 3) BGR arrays."""
    while True:
        has_frame, frame = capture.read()
        if not has_frame:
            return
        yield frame


parser = argparse.ArgumentParser()
parser.add_argument("source", nargs="?", default="0", help="number of a camera, or a file")
parser.add_argument("--no-window", action="store_true")
arguments = parser.parse_args()
camera = cv2.VideoCapture(int(arguments.source) if arguments.source.isdecimal() else arguments.source)
if not camera.isOpened():
    sys.exit(f"no camera or video {arguments.source!r}; name a file instead: python examples/webcam.py in.mp4")

frame_count = 0
with (
    esr_client.connect() as client,
    client.upscale(
        frames(camera), model="esr_stack_x2", channel_order="bgr", delivery=Delivery.latest(), timeout_s=None
    ) as stream,
):
    for frame in stream:
        frame_count += 1
        if not arguments.no_window:
            cv2.imshow("upscaled (q quits)", frame)
            if cv2.waitKey(1) == ord("q"):
                break
    print(f"{frame_count} frames shown, {sum(stream.dropped.values())} dropped")
