"""Upscale what OpenCV reads: `python examples/opencv.py in.mp4 out.png`.

OpenCV's arrays are BGR, and it draws into them: hence `channel_order` and `copy`.
"""

import sys
from collections.abc import Iterator

import cv2
import numpy as np

import esr_client


def frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """Give the frames of a video as (H, W, 3) BGR arrays."""
    while True:
        has_frame, frame = capture.read()
        if not has_frame:
            return
        yield frame


if len(sys.argv) != 3:
    sys.exit(__doc__)
source, out = sys.argv[1:]
if not cv2.haveImageWriter(out):
    sys.exit(f"{out} is no name of a picture: use one such as out.png")
video = cv2.VideoCapture(source)
if not video.isOpened():
    sys.exit(f"OpenCV cannot read {source}")
with esr_client.connect() as client:
    count = 0
    for frame in client.upscale(frames(video), model="esr_stack_x2", channel_order="bgr", copy=True):
        count += 1
        cv2.putText(frame, f"frame {count}", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255))
cv2.imwrite(out, frame)
print(f"{count} frames, the last one in {out}")
