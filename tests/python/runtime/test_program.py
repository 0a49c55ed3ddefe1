# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Opening programs: whole, damaged, foreign, and with their parameters elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import iree.runtime as rt
import numpy as np
import pytest

from pock.runtime import ArtifactError, DeviceError, Trainer
from tests.python.runtime.runtime_programs import (
    compile_mlir,
    softmax_metadata,
    softmax_mlir,
    softmax_program,
    write_archive,
)

X = np.linspace(-1, 1, 48, dtype=np.float32).reshape(8, 6)

# Flips one bit in each byte of the archive's own structures and in every 61st of the rest, and runs what
# still loads. A crash of the interpreter shows in its exit status.
FLIP = """
import sys
from pathlib import Path
import numpy as np
from pock.runtime import ArtifactError, Trainer
whole, copy = Path(sys.argv[1]), Path(sys.argv[2])
raw = whole.read_bytes()
x, y = np.ones((8, 6), np.float32), np.zeros(8, np.int64)
loss = Trainer(whole, device="local-sync").step(x, y)
structure = {p + i for m in (b"PK\\1\\2", b"PK\\3\\4", b"PK\\5\\6", b"PK\\6\\6", b"PK\\6\\7")
             for p in range(len(raw)) if raw.startswith(m, p) for i in range(80)}
refused = 0
for place in sorted(structure | set(range(0, len(raw), 61))):
    if place < len(raw):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << place % 8
        copy.unlink(missing_ok=True)  # the file is mapped: never write into it
        copy.write_bytes(damaged)
        try:
            assert Trainer(copy, device="local-sync").step(x, y) == loss, place
        except ArtifactError as error:
            assert "\\n" not in str(error), place
            refused += 1
print(refused)
"""


def test_flipped_bits_are_refused_or_harmless(softmax: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FLIP, str(softmax), str(tmp_path / "flipped.vmfb")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > len(softmax.read_bytes()) // 61 * 9 // 10


@pytest.mark.parametrize("kept", [0, 3, 64, 1000, 0.5, 0.9, -1])
def test_a_truncated_program_is_refused(softmax: Path, tmp_path: Path, kept: float) -> None:
    raw = softmax.read_bytes()
    cut = tmp_path / "cut.vmfb"
    cut.write_bytes(raw[: int(len(raw) * kept) if 0 < kept < 1 else int(kept)])
    with pytest.raises(ArtifactError, match=r"cut\.vmfb is no compiled program, or is damaged: [^\n]*$"):
        Trainer(cut)


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"^no file .*none\.vmfb$"):
        Trainer(tmp_path / "none.vmfb")


def test_a_folder_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="Is a directory"):
        Trainer(tmp_path)


def test_another_file_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "junk.vmfb").write_bytes(b"hello" * 1000)
    with pytest.raises(ArtifactError, match="no compiled program"):
        Trainer(tmp_path / "junk.vmfb")


def test_another_zip_is_no_program(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", x=X)
    with pytest.raises(ArtifactError, match=r"cannot load .*arrays\.npz"):
        Trainer(tmp_path / "arrays.npz")


def test_a_module_without_metadata_is_not_ours(tmp_path: Path) -> None:
    path = compile_mlir(softmax_mlir(None, "dense<1.0>"), tmp_path / "bare.vmfb")
    with pytest.raises(ArtifactError, match="not a program compiled by pock"):
        Trainer(path)


def test_a_newer_format_names_the_file_and_both_versions(tmp_path: Path) -> None:
    path = softmax_program(tmp_path / "new.vmfb", metadata=softmax_metadata(format=7))
    with pytest.raises(
        ArtifactError, match=r"new\.vmfb: .* format 7, this runtime reads up to 1: update pock"
    ):
        Trainer(path)


def test_metadata_survives_any_text(tmp_path: Path) -> None:
    name = 'naïve "model" \\ of\nMØ'
    path = softmax_program(tmp_path / "text.vmfb", metadata=softmax_metadata(model=name))
    assert Trainer(path).metadata.model == name


def test_external_parameters_are_those_embedded(softmax: Path, external: Path) -> None:
    assert np.array_equal(Trainer(external).predict(X), Trainer(softmax).predict(X))


def test_external_parameters_can_lie_elsewhere(softmax: Path, external: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.vmfb"
    moved.write_bytes(external.read_bytes())
    with pytest.raises(
        ArtifactError, match=r"cannot read .*model\.safetensors, which holds the parameters of"
    ):
        Trainer(moved)
    archive = write_archive(tmp_path / "elsewhere.safetensors")
    assert np.array_equal(Trainer(moved, parameters=archive).predict(X), Trainer(softmax).predict(X))


def test_other_parameters_are_refused(external: Path, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "other.safetensors")
    raw = bytearray(archive.read_bytes())
    raw[-1] ^= 1
    archive.write_bytes(raw)
    with pytest.raises(ArtifactError, match=r"other\.safetensors is not the parameter archive"):
        Trainer(external, parameters=archive)


def test_embedded_parameters_cannot_be_overridden(softmax: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="carries its parameters inside"):
        Trainer(softmax, parameters=write_archive(tmp_path / "x.safetensors"))


def test_an_unknown_device_lists_the_drivers(softmax: Path) -> None:
    with pytest.raises(DeviceError, match=r"^no device 'abacus' here: .*local-task"):
        Trainer(softmax, device="abacus")


def test_the_device_can_be_chosen(softmax: Path) -> None:
    assert np.array_equal(Trainer(softmax, device="local-sync").predict(X), Trainer(softmax).predict(X))


def _has_vulkan() -> bool:
    try:
        rt.get_device("vulkan")
    except (RuntimeError, ValueError):
        return False
    return True


@pytest.mark.skipif(
    "VK_DRIVER_FILES" not in os.environ and not Path("/dev/dri").exists(), reason="no Vulkan driver"
)
def test_programs_run_on_vulkan(softmax: Path, tmp_path: Path) -> None:
    if not _has_vulkan():
        pytest.skip("no Vulkan device")
    metadata = softmax_metadata(target="vulkan", device="vulkan")
    path = softmax_program(tmp_path / "vulkan.vmfb", "vulkan", metadata)
    y = np.arange(8) % 3
    there, here = Trainer(path), Trainer(softmax)
    for _ in range(3):
        assert there.step(X, y, lr=0.5) == pytest.approx(here.step(X, y, lr=0.5), rel=1e-5)
    assert np.allclose(there.outputs[0], here.outputs[0], rtol=1e-5, atol=1e-6)
    for name, array in here.state_dict(optimizer=True).items():
        assert np.allclose(there.state_dict(optimizer=True)[name], array, rtol=1e-5, atol=1e-6), name
    there.save(tmp_path / "vulkan.ckpt")
    assert Trainer.restore(path, tmp_path / "vulkan.ckpt").step(X, y) == there.step(X, y)
    with pytest.raises(
        DeviceError, match=r"device 'local-task' cannot run .*, which is compiled for 'vulkan'"
    ):
        Trainer(path, device="local-task")
