"""Files and URLs through a server: video upscaled, everything else kept.

    from esr_client.files import FileSettings, upscale_file
    with esr_client.connect("127.0.0.1:50051") as client:
        upscale_file(client, "in.mp4", "out.mp4", FileSettings(model="esr_stack_x2"))

Importing this imports PyAV.
"""

from esr_client.files._batch import PICTURE_SUFFIXES, Media, Task, plan_tasks
from esr_client.files._codecs import CODEC_NAMES, ENCODERS
from esr_client.files._compare import Comparison, Layout, compare
from esr_client.files._input_settings import InputSettings
from esr_client.files._job import Encode, FileJob, FileReport, FileSettings, Progress, upscale_file
from esr_client.files._pairing import Score
from esr_client.files._pipes import Interrupt
from esr_client.files._resize import WantedSize

__all__ = [
    "CODEC_NAMES",
    "ENCODERS",
    "PICTURE_SUFFIXES",
    "Comparison",
    "Encode",
    "FileJob",
    "FileReport",
    "FileSettings",
    "InputSettings",
    "Interrupt",
    "Layout",
    "Media",
    "Progress",
    "Score",
    "Task",
    "WantedSize",
    "compare",
    "plan_tasks",
    "upscale_file",
]
