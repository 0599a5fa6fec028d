"""Files and URLs through a server: video upscaled, everything else kept.

    from esr_client.files import FileSettings, upscale_file
    with esr_client.connect("127.0.0.1:50051") as client:
        upscale_file(client, "in.mp4", "out.mp4", FileSettings(model="esr_tr_x2"))

Importing this imports PyAV.
"""

from esr_client.files._codecs import ENCODERS
from esr_client.files._job import Encode, FileReport, FileSettings, Progress, upscale_file

__all__ = ["ENCODERS", "Encode", "FileReport", "FileSettings", "Progress", "upscale_file"]
