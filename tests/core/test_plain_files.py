"""What is no plain file is neither read nor replaced."""

import os
import select
import stat
import threading
from pathlib import Path

import pytest

from detectors.core.plain_files import read_text, write_text


def test_a_plain_file_up_to_its_most_bytes(tmp_path):
    file = tmp_path / "a"
    file.write_text("x" * 9)
    assert read_text(file, 9) == "x" * 9
    with pytest.raises(ValueError, match="it is too large"):
        read_text(file, 8)
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="decode"):
        read_text(file, 9)


def test_a_device_a_fifo_and_a_folder_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for file in (
        Path("/dev/zero"),
        tmp_path / "fifo",
        tmp_path,
    ):  # opened plainly, a FIFO without a writer waits for good
        with pytest.raises(ValueError, match="it is not a plain file"):
            read_text(file, 9)


def test_a_device_is_written_to_and_stays_one(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    link = tmp_path / "link"
    link.symlink_to(device)
    for target in (device, link):
        try:
            write_text(target, "x")
        except PermissionError:
            pytest.skip("this file system has no devices")
    assert device.is_char_device()
    assert link.is_symlink()


def test_a_fifo_is_written_to_where_somebody_reads_and_an_error_where_nobody_does(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="No such device"):
        write_text(fifo, "x")
    read, reader = [], os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)

    def consume():
        select.select([reader], [], [], 20)  # a pipe that nobody has opened for writing yet reads as one at its end
        with os.fdopen(reader) as stream:
            read.append(stream.read())

    thread = threading.Thread(target=consume)
    writer = threading.Thread(target=write_text, args=(fifo, "x" * 100_000))  # more than a pipe holds
    writer.start()
    thread.start()
    writer.join(20)
    thread.join(20)
    assert read == ["x" * 100_000]
    assert fifo.is_fifo()


def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="neither a plain file"):
        write_text(tmp_path / "folder", "x")
    assert {p.name for p in tmp_path.iterdir()} == {"file", "link", "folder"}


def test_a_link_that_leads_back_to_itself_is_an_error_and_stays(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="leads back to itself"):
        write_text(tmp_path / "loop", "x")
    assert (tmp_path / "loop").is_symlink()
