"""The picture of ``fit --plot``: it exists, has a readable size, and shows the samples, curve and verdict."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from peaks_scheduler.cli import main
from peaks_scheduler.commands.fit.node_fit import NodeFit
from peaks_scheduler.commands.fit.plot import MOST_PANELS, picture
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.pictures import picture_format
from peaks_scheduler.fitting.result import Fit
from peaks_scheduler.fitting.samples import Samples
from peaks_scheduler.power.curves import Exponential, Linear
from peaks_scheduler.power.models import Quality

Pixels = NDArray[np.float64]

# what the colours of the picture are for
CURVE, ENVELOPE, REFUSED = "#0072B2", "#D55E00", "#FBEFEE"
BENT = Exponential(180.0, -65.0, -3.0)  # below it the envelope is a chord


def samples(highest: float = 1.0) -> Samples:
    cpu = np.linspace(0.0, highest, 40)
    return Samples(cpu, np.array([BENT.watts(float(u)) for u in cpu]) + np.random.default_rng(1).normal(0.0, 2.0, 40))


def learned(name: str = "worker-1", verdict: str = "good", highest: float = 1.0) -> NodeFit:
    covariance = ((4.0, -3.0, 0.1), (-3.0, 5.0, 0.1), (0.1, 0.1, 0.1))
    quality = Quality(2.0, 0.99, 40, 0.0, highest, None, 2.1, covariance)
    reasons = () if verdict == "good" else ("measured between 0 % and 10 % of load only, a curve beyond is a guess",)
    fit = Fit(BENT, quality, verdict, reasons, 2.0, 37)  # type: ignore[arg-type]
    return NodeFit(name, fit, samples(highest))


def size(png: bytes) -> tuple[int, int]:
    """(width, height) [pixels] in the PNG's header."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def pixels(png: bytes) -> Pixels:
    from matplotlib.image import imread

    image: Pixels = np.asarray(imread(io.BytesIO(png)), np.float64)[:, :, :3]
    return image


def share(image: Pixels, colour: str) -> float:
    """Share of the picture that has about this colour."""
    wanted = np.array([int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)])
    return float((np.abs(image - wanted).max(axis=2) < 0.02).mean())


def test_one_node_is_a_picture_of_a_readable_size_with_points_curve_and_envelope() -> None:
    png = picture([learned()])
    assert size(png) == (960, 672)
    image = pixels(png)
    assert 0.5 < share(image, "#FFFFFF") < 0.95
    assert share(image, CURVE) > 0.002
    assert share(image, ENVELOPE) > 0.0005
    assert share(image, REFUSED) < 0.001  # a few blurred edges


def test_a_straight_curve_has_no_envelope_of_its_own() -> None:
    fit = Fit(Linear(100.0, 180.0), Quality(2.0, 0.9, 40, 0.0, 1.0), "good", (), 2.0, 38)
    assert share(pixels(picture([NodeFit("worker-1", fit, samples())])), ENVELOPE) == 0.0


def test_the_curve_is_dashed_where_it_was_not_measured() -> None:
    whole, half = (share(pixels(picture([learned(highest=highest)])), CURVE) for highest in (1.0, 0.3))
    assert half < 0.8 * whole


def test_a_refused_node_stands_out() -> None:
    assert share(pixels(picture([learned(verdict="refused", highest=0.1)])), REFUSED) > 0.1


def test_several_nodes_are_panels_of_one_picture() -> None:
    width, height = size(picture([learned(f"worker-{i}") for i in range(6)]))
    assert (width, height) == (1440, 828)


def test_more_nodes_than_can_be_read_are_not_drawn() -> None:
    names = [f"worker-{i}" for i in range(MOST_PANELS + 6)]
    svg = picture([learned(name, highest=0.5) for name in names], "svg").decode()
    assert f"the first {MOST_PANELS} of {MOST_PANELS + 6} nodes" in svg
    assert names[MOST_PANELS - 1] in svg
    assert names[MOST_PANELS] not in svg


@pytest.mark.parametrize(
    "node",
    [
        NodeFit("worker-1", trouble="it has CPU series, but no series of its power"),
        NodeFit(
            "worker-1",
            Fit(None, Quality(samples=0), "refused", ("0 samples",), float("nan"), 0),
            Samples(*[np.zeros(0)] * 2),
        ),
        NodeFit(
            "worker-1",
            Fit(None, Quality(samples=2), "refused", ("2 samples",), float("nan"), 0),
            samples().of(np.arange(40) < 2),
        ),
        NodeFit("worker-1", Fit(BENT, Quality(2.0, 0.9, 40), "usable", ("no range",), 2.0, 0), samples()),
    ],
    ids=["nothing measured", "no samples", "two samples", "nothing known of the curve"],
)
def test_what_little_is_known_is_drawn(node: NodeFit) -> None:
    image = pixels(picture([node]))
    assert share(image, "#FFFFFF") < 0.99


def test_the_file_s_ending_says_which_format_it_is() -> None:
    assert picture_format("--plot", "a/b.PNG") == "png"
    assert picture([learned()], "pdf").startswith(b"%PDF")
    with pytest.raises(ConfigurationError, match=r"ends in \.png, \.svg, \.pdf"):
        picture_format("--plot", "picture")


def test_the_command_writes_the_picture_where_it_is_told(tmp_path: Path) -> None:
    rows = "".join(f"{u},{w}\n" for u, w in zip(samples().cpu, samples().watts, strict=True))
    (tmp_path / "m.csv").write_text("cpu,watts\n" + rows)
    (tmp_path / "p.png").write_bytes(b"an older one")
    args = ["fit", "--csv", str(tmp_path / "m.csv"), "--cpu-column", "cpu", "--power-column", "watts"]
    result = CliRunner().invoke(main, [*args, "--plot", str(tmp_path / "p.png")])
    assert result.exit_code == 0, result.output
    png = (tmp_path / "p.png").read_bytes()
    assert size(png) == (960, 672)
    assert share(pixels(png), CURVE) > 0.002
