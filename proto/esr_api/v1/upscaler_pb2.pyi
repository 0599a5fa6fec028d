from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ColorRange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLOR_RANGE_UNSPECIFIED: _ClassVar[ColorRange]
    COLOR_RANGE_LIMITED: _ClassVar[ColorRange]
    COLOR_RANGE_FULL: _ClassVar[ColorRange]

class ChromaLocation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHROMA_LOCATION_UNSPECIFIED: _ClassVar[ChromaLocation]
    CHROMA_LOCATION_LEFT: _ClassVar[ChromaLocation]
    CHROMA_LOCATION_CENTER: _ClassVar[ChromaLocation]
    CHROMA_LOCATION_TOPLEFT: _ClassVar[ChromaLocation]
    CHROMA_LOCATION_TOP: _ClassVar[ChromaLocation]
    CHROMA_LOCATION_BOTTOMLEFT: _ClassVar[ChromaLocation]
    CHROMA_LOCATION_BOTTOM: _ClassVar[ChromaLocation]

class DropReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DROP_REASON_UNSPECIFIED: _ClassVar[DropReason]
    DROP_REASON_SUPERSEDED: _ClassVar[DropReason]
    DROP_REASON_LATE: _ClassVar[DropReason]

class DeliveryPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_POLICY_UNSPECIFIED: _ClassVar[DeliveryPolicy]
    DELIVERY_POLICY_LOSSLESS: _ClassVar[DeliveryPolicy]
    DELIVERY_POLICY_LATEST: _ClassVar[DeliveryPolicy]
    DELIVERY_POLICY_DEADLINE: _ClassVar[DeliveryPolicy]
COLOR_RANGE_UNSPECIFIED: ColorRange
COLOR_RANGE_LIMITED: ColorRange
COLOR_RANGE_FULL: ColorRange
CHROMA_LOCATION_UNSPECIFIED: ChromaLocation
CHROMA_LOCATION_LEFT: ChromaLocation
CHROMA_LOCATION_CENTER: ChromaLocation
CHROMA_LOCATION_TOPLEFT: ChromaLocation
CHROMA_LOCATION_TOP: ChromaLocation
CHROMA_LOCATION_BOTTOMLEFT: ChromaLocation
CHROMA_LOCATION_BOTTOM: ChromaLocation
DROP_REASON_UNSPECIFIED: DropReason
DROP_REASON_SUPERSEDED: DropReason
DROP_REASON_LATE: DropReason
DELIVERY_POLICY_UNSPECIFIED: DeliveryPolicy
DELIVERY_POLICY_LOSSLESS: DeliveryPolicy
DELIVERY_POLICY_LATEST: DeliveryPolicy
DELIVERY_POLICY_DEADLINE: DeliveryPolicy

class Rational(_message.Message):
    __slots__ = ("num", "den")
    NUM_FIELD_NUMBER: _ClassVar[int]
    DEN_FIELD_NUMBER: _ClassVar[int]
    num: int
    den: int
    def __init__(self, num: _Optional[int] = ..., den: _Optional[int] = ...) -> None: ...

class Color(_message.Message):
    __slots__ = ("range", "primaries", "transfer", "matrix", "chroma_location")
    RANGE_FIELD_NUMBER: _ClassVar[int]
    PRIMARIES_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    MATRIX_FIELD_NUMBER: _ClassVar[int]
    CHROMA_LOCATION_FIELD_NUMBER: _ClassVar[int]
    range: ColorRange
    primaries: int
    transfer: int
    matrix: int
    chroma_location: ChromaLocation
    def __init__(self, range: _Optional[_Union[ColorRange, str]] = ..., primaries: _Optional[int] = ..., transfer: _Optional[int] = ..., matrix: _Optional[int] = ..., chroma_location: _Optional[_Union[ChromaLocation, str]] = ...) -> None: ...

class VideoFormat(_message.Message):
    __slots__ = ("width", "height", "pixel_format", "color", "sample_aspect_ratio", "rotation")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    PIXEL_FORMAT_FIELD_NUMBER: _ClassVar[int]
    COLOR_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_ASPECT_RATIO_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    pixel_format: str
    color: Color
    sample_aspect_ratio: Rational
    rotation: int
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., pixel_format: _Optional[str] = ..., color: _Optional[_Union[Color, _Mapping]] = ..., sample_aspect_ratio: _Optional[_Union[Rational, _Mapping]] = ..., rotation: _Optional[int] = ...) -> None: ...

class StageSeconds(_message.Message):
    __slots__ = ("decode", "queue", "luma", "chroma", "encode")
    DECODE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    LUMA_FIELD_NUMBER: _ClassVar[int]
    CHROMA_FIELD_NUMBER: _ClassVar[int]
    ENCODE_FIELD_NUMBER: _ClassVar[int]
    decode: float
    queue: float
    luma: float
    chroma: float
    encode: float
    def __init__(self, decode: _Optional[float] = ..., queue: _Optional[float] = ..., luma: _Optional[float] = ..., chroma: _Optional[float] = ..., encode: _Optional[float] = ...) -> None: ...

class Plane(_message.Message):
    __slots__ = ("data", "stride", "offset")
    DATA_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    stride: int
    offset: int
    def __init__(self, data: _Optional[bytes] = ..., stride: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class Slot(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("sequence", "pts", "duration", "planes", "format", "interlaced", "corrupt", "stages", "model", "slot", "source_quantizer", "source_downscaler")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PTS_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    PLANES_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    INTERLACED_FIELD_NUMBER: _ClassVar[int]
    CORRUPT_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_QUANTIZER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_DOWNSCALER_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    pts: int
    duration: int
    planes: _containers.RepeatedCompositeFieldContainer[Plane]
    format: VideoFormat
    interlaced: bool
    corrupt: bool
    stages: StageSeconds
    model: str
    slot: Slot
    source_quantizer: float
    source_downscaler: str
    def __init__(self, sequence: _Optional[int] = ..., pts: _Optional[int] = ..., duration: _Optional[int] = ..., planes: _Optional[_Iterable[_Union[Plane, _Mapping]]] = ..., format: _Optional[_Union[VideoFormat, _Mapping]] = ..., interlaced: bool = ..., corrupt: bool = ..., stages: _Optional[_Union[StageSeconds, _Mapping]] = ..., model: _Optional[str] = ..., slot: _Optional[_Union[Slot, _Mapping]] = ..., source_quantizer: _Optional[float] = ..., source_downscaler: _Optional[str] = ...) -> None: ...

class SourceQuality(_message.Message):
    __slots__ = ("quantizer",)
    QUANTIZER_FIELD_NUMBER: _ClassVar[int]
    quantizer: float
    def __init__(self, quantizer: _Optional[float] = ...) -> None: ...

class Packet(_message.Message):
    __slots__ = ("sequence", "pts", "dts", "duration", "is_keyframe", "data", "new_extradata", "stages", "model", "source_quantizer", "source_downscaler")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PTS_FIELD_NUMBER: _ClassVar[int]
    DTS_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    IS_KEYFRAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    NEW_EXTRADATA_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_QUANTIZER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_DOWNSCALER_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    pts: int
    dts: int
    duration: int
    is_keyframe: bool
    data: bytes
    new_extradata: bytes
    stages: StageSeconds
    model: str
    source_quantizer: float
    source_downscaler: str
    def __init__(self, sequence: _Optional[int] = ..., pts: _Optional[int] = ..., dts: _Optional[int] = ..., duration: _Optional[int] = ..., is_keyframe: bool = ..., data: _Optional[bytes] = ..., new_extradata: _Optional[bytes] = ..., stages: _Optional[_Union[StageSeconds, _Mapping]] = ..., model: _Optional[str] = ..., source_quantizer: _Optional[float] = ..., source_downscaler: _Optional[str] = ...) -> None: ...

class Dropped(_message.Message):
    __slots__ = ("sequence", "pts", "reason")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    pts: int
    reason: DropReason
    def __init__(self, sequence: _Optional[int] = ..., pts: _Optional[int] = ..., reason: _Optional[_Union[DropReason, str]] = ...) -> None: ...

class RawInput(_message.Message):
    __slots__ = ("format", "time_base")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    TIME_BASE_FIELD_NUMBER: _ClassVar[int]
    format: VideoFormat
    time_base: Rational
    def __init__(self, format: _Optional[_Union[VideoFormat, _Mapping]] = ..., time_base: _Optional[_Union[Rational, _Mapping]] = ...) -> None: ...

class EncodedInput(_message.Message):
    __slots__ = ("codec", "extradata", "time_base", "format", "skip_undecodable")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    EXTRADATA_FIELD_NUMBER: _ClassVar[int]
    TIME_BASE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SKIP_UNDECODABLE_FIELD_NUMBER: _ClassVar[int]
    codec: str
    extradata: bytes
    time_base: Rational
    format: VideoFormat
    skip_undecodable: bool
    def __init__(self, codec: _Optional[str] = ..., extradata: _Optional[bytes] = ..., time_base: _Optional[_Union[Rational, _Mapping]] = ..., format: _Optional[_Union[VideoFormat, _Mapping]] = ..., skip_undecodable: bool = ...) -> None: ...

class RawOutput(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EncodedOutput(_message.Message):
    __slots__ = ("codec", "options", "frame_rate", "global_header")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODEC_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    FRAME_RATE_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_HEADER_FIELD_NUMBER: _ClassVar[int]
    codec: str
    options: _containers.ScalarMap[str, str]
    frame_rate: Rational
    global_header: bool
    def __init__(self, codec: _Optional[str] = ..., options: _Optional[_Mapping[str, str]] = ..., frame_rate: _Optional[_Union[Rational, _Mapping]] = ..., global_header: bool = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("policy", "deadline_s")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    policy: DeliveryPolicy
    deadline_s: float
    def __init__(self, policy: _Optional[_Union[DeliveryPolicy, str]] = ..., deadline_s: _Optional[float] = ...) -> None: ...

class SharedMemory(_message.Message):
    __slots__ = ("pid", "fd", "name", "input_slots", "input_slot_bytes", "output_slots", "output_slot_bytes")
    PID_FIELD_NUMBER: _ClassVar[int]
    FD_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_SLOTS_FIELD_NUMBER: _ClassVar[int]
    INPUT_SLOT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SLOTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SLOT_BYTES_FIELD_NUMBER: _ClassVar[int]
    pid: int
    fd: int
    name: str
    input_slots: int
    input_slot_bytes: int
    output_slots: int
    output_slot_bytes: int
    def __init__(self, pid: _Optional[int] = ..., fd: _Optional[int] = ..., name: _Optional[str] = ..., input_slots: _Optional[int] = ..., input_slot_bytes: _Optional[int] = ..., output_slots: _Optional[int] = ..., output_slot_bytes: _Optional[int] = ...) -> None: ...

class UpscaleConfig(_message.Message):
    __slots__ = ("model", "raw_input", "encoded_input", "raw_output", "encoded_output", "deinterlace", "delivery", "ladder", "target_fps", "shared_memory", "frames_per_response", "source_quality")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RAW_INPUT_FIELD_NUMBER: _ClassVar[int]
    ENCODED_INPUT_FIELD_NUMBER: _ClassVar[int]
    RAW_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ENCODED_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    DEINTERLACE_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    LADDER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FPS_FIELD_NUMBER: _ClassVar[int]
    SHARED_MEMORY_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_QUALITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    raw_input: RawInput
    encoded_input: EncodedInput
    raw_output: RawOutput
    encoded_output: EncodedOutput
    deinterlace: str
    delivery: Delivery
    ladder: _containers.RepeatedScalarFieldContainer[str]
    target_fps: Rational
    shared_memory: SharedMemory
    frames_per_response: int
    source_quality: SourceQuality
    def __init__(self, model: _Optional[str] = ..., raw_input: _Optional[_Union[RawInput, _Mapping]] = ..., encoded_input: _Optional[_Union[EncodedInput, _Mapping]] = ..., raw_output: _Optional[_Union[RawOutput, _Mapping]] = ..., encoded_output: _Optional[_Union[EncodedOutput, _Mapping]] = ..., deinterlace: _Optional[str] = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ..., ladder: _Optional[_Iterable[str]] = ..., target_fps: _Optional[_Union[Rational, _Mapping]] = ..., shared_memory: _Optional[_Union[SharedMemory, _Mapping]] = ..., frames_per_response: _Optional[int] = ..., source_quality: _Optional[_Union[SourceQuality, _Mapping]] = ...) -> None: ...

class SwitchModel(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class UpscaleRequest(_message.Message):
    __slots__ = ("config", "frame", "packet", "switch_model", "freed_output_slots")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    PACKET_FIELD_NUMBER: _ClassVar[int]
    SWITCH_MODEL_FIELD_NUMBER: _ClassVar[int]
    FREED_OUTPUT_SLOTS_FIELD_NUMBER: _ClassVar[int]
    config: UpscaleConfig
    frame: Frame
    packet: Packet
    switch_model: SwitchModel
    freed_output_slots: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, config: _Optional[_Union[UpscaleConfig, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., packet: _Optional[_Union[Packet, _Mapping]] = ..., switch_model: _Optional[_Union[SwitchModel, _Mapping]] = ..., freed_output_slots: _Optional[_Iterable[int]] = ...) -> None: ...

class Negotiated(_message.Message):
    __slots__ = ("stream_id", "model", "backend", "scale", "output_format", "time_base", "shared_memory", "shared_memory_refusal", "delivery", "ladder")
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    TIME_BASE_FIELD_NUMBER: _ClassVar[int]
    SHARED_MEMORY_FIELD_NUMBER: _ClassVar[int]
    SHARED_MEMORY_REFUSAL_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    LADDER_FIELD_NUMBER: _ClassVar[int]
    stream_id: str
    model: str
    backend: str
    scale: int
    output_format: VideoFormat
    time_base: Rational
    shared_memory: bool
    shared_memory_refusal: str
    delivery: Delivery
    ladder: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, stream_id: _Optional[str] = ..., model: _Optional[str] = ..., backend: _Optional[str] = ..., scale: _Optional[int] = ..., output_format: _Optional[_Union[VideoFormat, _Mapping]] = ..., time_base: _Optional[_Union[Rational, _Mapping]] = ..., shared_memory: bool = ..., shared_memory_refusal: _Optional[str] = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ..., ladder: _Optional[_Iterable[str]] = ...) -> None: ...

class StreamStatistics(_message.Message):
    __slots__ = ("frames_in", "frames_out", "frames_failed", "packets_in", "packets_out", "packets_skipped", "elapsed_s", "stages", "frames_dropped", "model_switches")
    FRAMES_IN_FIELD_NUMBER: _ClassVar[int]
    FRAMES_OUT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FAILED_FIELD_NUMBER: _ClassVar[int]
    PACKETS_IN_FIELD_NUMBER: _ClassVar[int]
    PACKETS_OUT_FIELD_NUMBER: _ClassVar[int]
    PACKETS_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_S_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    FRAMES_DROPPED_FIELD_NUMBER: _ClassVar[int]
    MODEL_SWITCHES_FIELD_NUMBER: _ClassVar[int]
    frames_in: int
    frames_out: int
    frames_failed: int
    packets_in: int
    packets_out: int
    packets_skipped: int
    elapsed_s: float
    stages: StageSeconds
    frames_dropped: int
    model_switches: int
    def __init__(self, frames_in: _Optional[int] = ..., frames_out: _Optional[int] = ..., frames_failed: _Optional[int] = ..., packets_in: _Optional[int] = ..., packets_out: _Optional[int] = ..., packets_skipped: _Optional[int] = ..., elapsed_s: _Optional[float] = ..., stages: _Optional[_Union[StageSeconds, _Mapping]] = ..., frames_dropped: _Optional[int] = ..., model_switches: _Optional[int] = ...) -> None: ...

class UpscaleResponse(_message.Message):
    __slots__ = ("negotiated", "frame", "packet", "statistics", "dropped", "more_frames")
    NEGOTIATED_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    PACKET_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    MORE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    negotiated: Negotiated
    frame: Frame
    packet: Packet
    statistics: StreamStatistics
    dropped: Dropped
    more_frames: _containers.RepeatedCompositeFieldContainer[Frame]
    def __init__(self, negotiated: _Optional[_Union[Negotiated, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., packet: _Optional[_Union[Packet, _Mapping]] = ..., statistics: _Optional[_Union[StreamStatistics, _Mapping]] = ..., dropped: _Optional[_Union[Dropped, _Mapping]] = ..., more_frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ...) -> None: ...

class UpscaleImageRequest(_message.Message):
    __slots__ = ("model", "format", "frame", "source_quality")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_QUALITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    format: VideoFormat
    frame: Frame
    source_quality: SourceQuality
    def __init__(self, model: _Optional[str] = ..., format: _Optional[_Union[VideoFormat, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., source_quality: _Optional[_Union[SourceQuality, _Mapping]] = ...) -> None: ...

class UpscaleImageResponse(_message.Message):
    __slots__ = ("model", "backend", "format", "frame")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    model: str
    backend: str
    format: VideoFormat
    frame: Frame
    def __init__(self, model: _Optional[str] = ..., backend: _Optional[str] = ..., format: _Optional[_Union[VideoFormat, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("model", "alias", "paper_id", "family", "scale", "parameters", "macs_per_pixel", "psnr_db", "backend", "loaded", "seconds_per_frame", "seconds_per_pixel", "network", "weights_sha256", "card", "nodes")
    class PsnrDbEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    PAPER_ID_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    MACS_PER_PIXEL_FIELD_NUMBER: _ClassVar[int]
    PSNR_DB_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    SECONDS_PER_FRAME_FIELD_NUMBER: _ClassVar[int]
    SECONDS_PER_PIXEL_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_SHA256_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    paper_id: str
    family: str
    scale: int
    parameters: int
    macs_per_pixel: int
    psnr_db: _containers.ScalarMap[str, float]
    backend: str
    loaded: bool
    seconds_per_frame: float
    seconds_per_pixel: float
    network: str
    weights_sha256: str
    card: ModelCard
    nodes: _containers.RepeatedCompositeFieldContainer[WeightsNode]
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., paper_id: _Optional[str] = ..., family: _Optional[str] = ..., scale: _Optional[int] = ..., parameters: _Optional[int] = ..., macs_per_pixel: _Optional[int] = ..., psnr_db: _Optional[_Mapping[str, float]] = ..., backend: _Optional[str] = ..., loaded: bool = ..., seconds_per_frame: _Optional[float] = ..., seconds_per_pixel: _Optional[float] = ..., network: _Optional[str] = ..., weights_sha256: _Optional[str] = ..., card: _Optional[_Union[ModelCard, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[WeightsNode, _Mapping]]] = ...) -> None: ...

class WeightsNode(_message.Message):
    __slots__ = ("quantizer", "downscaler")
    QUANTIZER_FIELD_NUMBER: _ClassVar[int]
    DOWNSCALER_FIELD_NUMBER: _ClassVar[int]
    quantizer: float
    downscaler: str
    def __init__(self, quantizer: _Optional[float] = ..., downscaler: _Optional[str] = ...) -> None: ...

class ModelCard(_message.Message):
    __slots__ = ("recipe", "data", "licence", "date")
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    recipe: str
    data: str
    licence: str
    date: str
    def __init__(self, recipe: _Optional[str] = ..., data: _Optional[str] = ..., licence: _Optional[str] = ..., date: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelInfo]
    def __init__(self, models: _Optional[_Iterable[_Union[ModelInfo, _Mapping]]] = ...) -> None: ...

class LoadModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class LoadModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: ModelInfo
    def __init__(self, model: _Optional[_Union[ModelInfo, _Mapping]] = ...) -> None: ...

class UnloadModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class UnloadModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: ModelInfo
    def __init__(self, model: _Optional[_Union[ModelInfo, _Mapping]] = ...) -> None: ...
