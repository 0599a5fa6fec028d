"""The config of a stream and the answers of a server without frames, to protobuf and back."""

from __future__ import annotations

from esr_api.v1 import upscaler_pb2 as pb
from esr_client import _convert
from esr_client._config import RawInput, RawOutput, StreamConfig
from esr_client._delivery import Delivery, DeliveryPolicy, Dropped, DropReason
from esr_client._errors import ContractError
from esr_client._results import ModelCard, ModelInfo, Negotiated, StreamStatistics, WeightsNode
from esr_client._shared_memory import Offer

_FRAMES_PER_RESPONSE = 4
_POLICIES = {
    DeliveryPolicy.LOSSLESS: pb.DELIVERY_POLICY_LOSSLESS,
    DeliveryPolicy.LATEST: pb.DELIVERY_POLICY_LATEST,
    DeliveryPolicy.DEADLINE: pb.DELIVERY_POLICY_DEADLINE,
}
_POLICIES_BACK = {there: here for here, there in _POLICIES.items()} | {
    pb.DELIVERY_POLICY_UNSPECIFIED: DeliveryPolicy.LOSSLESS
}
_REASONS = {pb.DROP_REASON_SUPERSEDED: DropReason.SUPERSEDED, pb.DROP_REASON_LATE: DropReason.LATE}


def config_request(config: StreamConfig, offer: Offer | None = None) -> pb.UpscaleRequest:
    """Return the first request of a stream."""
    delivery = config.delivery
    message = pb.UpscaleConfig(
        model=config.model,
        deinterlace=config.deinterlace,
        delivery=pb.Delivery(policy=_POLICIES[delivery.policy], deadline_s=delivery.deadline_s or 0.0),
        ladder=config.ladder,
        target_fps=_convert.rational(config.target_fps),
        source_quality=source_quality_to(config.source_quality),
    )
    source, sink = config.input, config.output
    if isinstance(source, RawInput):
        message.raw_input.CopyFrom(
            pb.RawInput(format=_convert.format_to(source.format), time_base=_convert.rational(source.time_base))
        )
    else:
        encoded_input = pb.EncodedInput(
            codec=source.codec,
            extradata=source.extradata,
            time_base=_convert.rational(source.time_base),
            format=_convert.format_to(source.format),
            skip_undecodable=source.skip_undecodable,
        )
        message.encoded_input.CopyFrom(encoded_input)
    if isinstance(sink, RawOutput):
        message.raw_output.SetInParent()
    else:
        rate = _convert.rational(sink.frame_rate)
        message.encoded_output.CopyFrom(
            pb.EncodedOutput(codec=sink.codec, options=sink.options, frame_rate=rate, global_header=sink.global_header)
        )
    request = pb.UpscaleRequest(config=message)
    if offer is not None:
        request.config.shared_memory.CopyFrom(_offer_to(offer))
        request.config.frames_per_response = _FRAMES_PER_RESPONSE
    return request


def source_quality_to(quantizer: float | None) -> pb.SourceQuality | None:
    """Return the message for a known source quality."""
    return None if quantizer is None else pb.SourceQuality(quantizer=quantizer)


def _offer_to(offer: Offer) -> pb.SharedMemory:
    return pb.SharedMemory(
        pid=offer.pid,
        fd=offer.fd,
        name=offer.name,
        input_slots=offer.layout.input_slots,
        input_slot_bytes=offer.layout.input_slot_bytes,
        output_slots=offer.layout.output_slots,
        output_slot_bytes=offer.layout.output_slot_bytes,
    )


def dropped_from(message: pb.Dropped) -> Dropped:
    """Return the answer to a frame that was not upscaled.

    Raises:
        ContractError: it does not say why.
    """
    if message.reason not in _REASONS:
        raise ContractError(f"the server dropped frame {message.sequence} for a reason that is not in the contract")
    pts = message.pts if message.HasField("pts") else None
    return Dropped(message.sequence, pts, _REASONS[message.reason])


def negotiated_from(message: pb.Negotiated) -> Negotiated:
    """Return the negotiated stream.

    Raises:
        ContractError: it lacks the time base, or has a delivery that is none.
    """
    time_base = _convert.fraction(message.time_base)
    if time_base is None:
        raise ContractError("the negotiated stream has no time base")
    try:
        policy = _POLICIES_BACK[message.delivery.policy]
        delivery = Delivery(policy, message.delivery.deadline_s if policy is DeliveryPolicy.DEADLINE else None)
    except (KeyError, ValueError) as error:
        raise ContractError(f"the negotiated stream has an invalid delivery: {error}") from error
    return Negotiated(
        stream_id=message.stream_id,
        model=message.model,
        backend=message.backend,
        scale=message.scale,
        output_format=_convert.format_from(message.output_format),
        time_base=time_base,
        delivery=delivery,
        ladder=tuple(message.ladder),
        shared_memory=message.shared_memory,
        shared_memory_refusal=message.shared_memory_refusal,
    )


def statistics_from(message: pb.StreamStatistics) -> StreamStatistics:
    return StreamStatistics(
        frames_in=message.frames_in,
        frames_out=message.frames_out,
        frames_failed=message.frames_failed,
        packets_in=message.packets_in,
        packets_out=message.packets_out,
        packets_skipped=message.packets_skipped,
        elapsed_s=message.elapsed_s,
        stages=_convert.stages_from(message.stages),
        frames_dropped=message.frames_dropped,
        model_switches=message.model_switches,
    )


def model_from(message: pb.ModelInfo) -> ModelInfo:
    """One row of the list of models."""
    return ModelInfo(
        model=message.model,
        alias=message.alias,
        paper_id=message.paper_id,
        family=message.family,
        scale=message.scale,
        parameters=message.parameters,
        macs_per_pixel=message.macs_per_pixel,
        psnr_db=dict(message.psnr_db),
        backend=message.backend,
        loaded=message.loaded,
        seconds_per_frame=message.seconds_per_frame,
        seconds_per_pixel=message.seconds_per_pixel,
        network=message.network,
        weights_sha256=message.weights_sha256,
        card=ModelCard(
            recipe=message.card.recipe, data=message.card.data, licence=message.card.licence, date=message.card.date
        ),
        nodes=tuple(WeightsNode(node.quantizer, node.downscaler) for node in message.nodes),
    )
