"""Names, sizes and numbers of models, against the paper's."""

from __future__ import annotations

import pickle

import pytest

from esr_upscale.errors import UnknownModelError
from esr_upscale.models import FAMILIES, ModelSpec, list_models, resolve


@pytest.mark.parametrize(
    ("name", "canonical", "paper", "alias"),
    [
        ("esr_tr_x2", "esr_tr_x2_k5_c2", "eSR-TR_s2_K5_C2", "esr_tr_x2"),
        ("ESR_TR_X3_K5_C2", "esr_tr_x3_k5_c2", "eSR-TR_s3_K5_C2", "esr_tr_x3"),
        ("eSR-TM_s4_K7_C8", "esr_tm_x4_k7_c8", "eSR-TM_s4_K7_C8", None),
        ("esr_tm_x2", "esr_tm_x2_k5_c4", "eSR-TM_s2_K5_C4", "esr_tm_x2"),
        ("esr-max_s2_k3_c1", "esr_max_x2_k3_c1", "eSR-MAX_s2_K3_C1", None),
        ("esr_cnn_x2", "esr_cnn_x2_c2_d7_s3", "eSR-CNN_s2_C2_D7_S3", "esr_cnn_x2"),
        ("eSR-CNN_s4_C4_D9_S9", "esr_cnn_x4_c4_d9_s9", "eSR-CNN_s4_C4_D9_S9", None),
        ("espcn_x3", "espcn_x3_d10_s15", "ESPCN_s3_D10_S15", "espcn_x3"),
        ("ESPCN_s2_D0_S3", "espcn_x2_d0_s3", "ESPCN_s2_D0_S3", None),
        ("fsrcnn_x4", "fsrcnn_x4_d19_s6_m1", "FSRCNN_s4_D19_S6_M1", "fsrcnn_x4"),
        ("fsrcnn_x2_zeros", "fsrcnn_x2_d19_s6_m1_zeros", "FSRCNN_s2_D19_S6_M1", None),
        ("bicubic_x2", "bicubic_x2", "Bicubic_s2", None),
        ("Bicubic_s3", "bicubic_x3", "Bicubic_s3", None),
        ("esr_tr_x2_zeros", "esr_tr_x2_k5_c2_zeros", "eSR-TR_s2_K5_C2", None),
        ("esr_tr_x2_clean", "esr_tr_x2_k5_c2_clean", "eSR-TR_s2_K5_C2", "esr_tr_x2_clean"),
        ("eSR-CNN_s2_C2_D7_S3_zeros_clean", "esr_cnn_x2_c2_d7_s3_zeros_clean", "eSR-CNN_s2_C2_D7_S3", None),
        ("esr_stack_x3_c6_l3_clean", "esr_stack_x3_c6_l3_clean", "eSR-Stack_s3_C6_L3", None),
    ],
)
def test_names(name: str, canonical: str, paper: str, alias: str | None) -> None:
    spec = resolve(name)
    assert (spec.canonical_id, spec.paper_id, spec.alias) == (canonical, paper, alias)
    assert resolve(canonical) == spec
    assert resolve(canonical.upper()) == spec


@pytest.mark.parametrize(
    "name",
    [
        "",
        "esr_tr",
        "esr_tr_x5",
        "esr_tr_x2_k4_c2",
        "esr_tr_x2_k5_c0",
        "esr_tr_x2_k5",
        "esr_tr_x2_clean_zeros",
        "bicubic_x2_clean",
        "esr_tr_x2_k5_c2_d3",
        "esr_tr_x2 ",
        "esr_cnn_x2_d7_c2_s3",
        "esr_cnn_x2_c2_d0_s3",
        "espcn_x2_d10_s0",
        "fsrcnn_x2_d19_s6",
    ],
)
def test_wrong_names(name: str) -> None:
    with pytest.raises(UnknownModelError, match="no model is named"):
        resolve(name)


def test_near_names() -> None:
    with pytest.raises(UnknownModelError, match="did you mean") as error_info:
        resolve("esr_tr_x22")
    assert "esr_tr_x2" in error_info.value.near


def test_resolve_among() -> None:
    assert resolve("esr_tr_x2", allowed=list_models()).scale == 2
    with pytest.raises(UnknownModelError):
        resolve("esr_tr_x2_k7_c7", allowed=list_models())
    with pytest.raises(UnknownModelError, match="bicubic_x2"):
        resolve("bicubic_x3", allowed=[resolve("bicubic_x2")])


@pytest.mark.parametrize(
    ("paper_id", "parameters", "macs"),
    [
        # rows of the paper's table of results
        ("eSR-MAX_s2_K7_C16", 3136, 3136),
        ("eSR-MAX_s3_K3_C9", 729, 729),
        ("eSR-MAX_s4_K5_C15", 6000, 6000),
        ("eSR-TM_s3_K5_C6", 2700, 2700),
        ("eSR-TR_s2_K5_C3", 900, 900),
        ("eSR-TR_s3_K5_C14", 9450, 9450),
        ("eSR-TR_s4_K3_C2", 864, 864),
        ("eSR-CNN_s2_C2_D7_S3", 806, 796),
        ("eSR-CNN_s3_C8_D9_S15", 20904, 20880),
        ("eSR-CNN_s4_C2_D1_S3", 1784, 1780),
        ("ESPCN_s2_D0_S3", 142, 135),
        ("ESPCN_s4_D10_S15", 3801, 3760),
        ("FSRCNN_s2_D19_S6_M1", 2621, 2566),
        ("FSRCNN_s3_D56_S12_M4", 12644, 12464),
        ("FSRCNN_s4_D6_S1_M1", 676, 657),
        # of bicubic the paper counts the filters as parameters; here they are a formula
        ("Bicubic_s2", 0, 64),
        ("Bicubic_s3", 0, 144),
        ("Bicubic_s4", 0, 256),
    ],
)
def test_numbers(paper_id: str, parameters: int, macs: int) -> None:
    spec = resolve(paper_id)
    assert (spec.parameters, spec.macs) == (parameters, macs)


def test_shape_and_radius() -> None:
    spec = resolve("esr_tr_x3_k7_c2")
    assert spec.tensor_shapes == {"filter.weight": (54, 1, 7, 7)}
    assert (spec.radius, resolve("bicubic_x2").radius) == (3, 2)
    assert (spec["K"], spec["C"], spec.family, spec.padding) == (7, 2, "esr_tr", "edge")


@pytest.mark.parametrize(
    ("name", "radius"),
    [("esr_cnn_x3", 4), ("espcn_x2", 4), ("espcn_x2_d0_s3", 2), ("fsrcnn_x2", 5), ("fsrcnn_x3", 4), ("fsrcnn_x4", 4)],
)
def test_radius_of_several_layers(name: str, radius: int) -> None:
    assert resolve(name).radius == radius


def test_tensors_are_named_as_published() -> None:
    assert resolve("esr_cnn_x2").tensor_shapes == {
        "filter.0.weight": (7, 1, 5, 5),
        "filter.0.bias": (7,),
        "filter.2.weight": (3, 7, 3, 3),
        "filter.2.bias": (3,),
        "filter.4.weight": (16, 3, 3, 3),
    }
    assert resolve("espcn_x3_d0_s3").tensor_shapes == {
        "net.0.weight": (3, 1, 3, 3),
        "net.0.bias": (3,),
        "net.2.weight": (9, 3, 3, 3),
        "net.2.bias": (9,),
    }
    fsrcnn = resolve("fsrcnn_x4").tensor_shapes
    assert list(fsrcnn) == [f"net.{i}.{n}" for i in range(9) for n in ("weight", "bias") if i % 2 == 0 or n == "weight"]
    assert (fsrcnn["net.1.weight"], fsrcnn["net.8.weight"], fsrcnn["net.8.bias"]) == ((1,), (19, 1, 9, 9), (1,))


def test_specs_are_values() -> None:
    spec = resolve("esr_tr_x2")
    assert spec == resolve("eSR-TR_s2_K5_C2")
    assert len({spec, resolve("esr_tr_x2"), resolve("esr_tr_x2_zeros")}) == 2
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_impossible_specs() -> None:
    with pytest.raises(ValueError, match="scale is 5"):
        ModelSpec(FAMILIES["bicubic"], 5)
    with pytest.raises(ValueError, match="K=4"):
        ModelSpec(FAMILIES["esr_tr"], 2, (4, 2))
