# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""TensorBoard event files from the store, without TensorFlow: a folder a run, replaced as a whole.

The one decision: the records are made of TensorBoard's own protocol buffers and written by its own
`RecordWriter`, into a file of our name, since its `EventFileWriter` puts the host into the name.

    <store>/tensorboard/<study>/<variant>-s<seed>-<id>/run.tfevents    scalars, images, hparams
    <store>/tensorboard/<study>/table/table.tfevents                   the study's table, as text
"""

import shutil
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_research.plain import encode, flatten
from lstm_research.trackers.content import Told
from lstm_research.trackers.sent import Place


class TensorBoard:
    """A log folder of TensorBoard."""

    def __init__(self, folder: str | Path) -> None:
        import tensorboard.summary.writer.record_writer  # noqa: F401 (absent: say so at once)

        self.folder, self.place = Path(folder), Place("tensorboard", "tensorboard")

    def open(self, run: Told) -> "Page":
        """Start the event file of a run."""
        return Page(self.folder / run.group / f"{file_name(run.name)}-{run.id[:6]}", run)

    def table(self, study: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write the table of a study as text."""
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join(f"| {' | '.join(map(shown, line))} |" for line in lines)
        events = Events(self.folder / study / "table", "table")
        events.text("table", text)
        events.close()


class Page:
    """The event file of one run; it appears, in place of an earlier one, when it is whole."""

    def __init__(self, folder: Path, run: Told) -> None:
        self.step = 0
        self.events = Events(folder, "run")
        self.events.begun(run.id, flatten({**run.config, "status": run.summary["status"]}))

    def log(self, row: Mapping[str, Any]) -> None:
        """Add the numbers of a row of history as scalars at its step."""
        self.step = row.get("step", self.step)
        for tag, value in row.items():
            if tag != "step" and isinstance(value, int | float):
                self.events.scalar(tag, value, self.step)

    def finish(self, run: Told) -> None:
        """Add final numbers and pictures, and put the folder in its place."""
        for tag, value in run.summary.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self.events.scalar(f"final/{tag}", value, self.step)
        for file in run.pictures:
            self.events.image(f"inspect/{file.stem}", file.read_bytes(), self.step)
        self.events.ended(run.failed)
        self.events.close()


class Events:
    """A folder with one event file, written beside its place and moved there by `close`."""

    def __init__(self, folder: Path, name: str) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.folder, self.draft = folder, folder.with_name(f".{folder.name}.draft")
        shutil.rmtree(self.draft, ignore_errors=True)
        self.draft.mkdir(parents=True)
        self.writer = RecordWriter(open(self.draft / f"{name}.tfevents", "wb"))  # noqa: SIM115
        self.event(file_version="brain.Event:2")

    def event(self, **content: Any) -> None:
        """Append one event, stamped with the time at which it is written."""
        from tensorboard.compat.proto.event_pb2 import Event

        self.writer.write(Event(wall_time=time.time(), **content).SerializeToString())

    def summary(self, content: Any, step: int = 0) -> None:
        """Append a summary."""
        self.event(summary=content, step=step)

    def value(self, step: int, **content: Any) -> None:
        """Append a summary of one value."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self.summary(Summary(value=[Summary.Value(**content)]), step)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Append a number."""
        self.value(step, tag=tag, simple_value=value)

    def image(self, tag: str, png: bytes, step: int) -> None:
        """Append a picture as the PNG that it is; its width and height stand in its first chunk."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = struct.unpack(">II", png[16:24])
        kept = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        self.value(step, tag=tag, image=kept)

    def text(self, tag: str, markdown: str) -> None:
        """Append a text in Markdown."""
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.plugins.text.metadata import create_summary_metadata

        tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()])
        self.value(0, tag=tag, tensor=tensor, metadata=create_summary_metadata(tag, ""))

    def begun(self, id: str, settings: Mapping[str, Any]) -> None:
        """Append the settings of a session of the hparams page, null left out."""
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        info = plugin_data_pb2.SessionStartInfo(group_name=id, start_time_secs=time.time())
        for key, value in settings.items():
            if isinstance(value, bool):
                info.hparams[key].bool_value = value
            elif isinstance(value, int | float):
                info.hparams[key].number_value = value
            elif value is not None:
                info.hparams[key].string_value = shown(value)
        content = plugin_data_pb2.HParamsPluginData(session_start_info=info)
        self.session(metadata.SESSION_START_INFO_TAG, content)

    def ended(self, failed: bool) -> None:
        """Append how the session ended."""
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
        info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        content = plugin_data_pb2.HParamsPluginData(session_end_info=info)
        self.session(metadata.SESSION_END_INFO_TAG, content)

    def session(self, tag: str, content: Any) -> None:
        """Append what TensorBoard's hparams plugin reads; its own writer asks for TensorFlow."""
        from tensorboard.plugins.hparams import metadata

        about = metadata.create_summary_metadata(content)
        self.value(0, tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)

    def close(self) -> None:
        """Put the folder in its place; an earlier one goes."""
        self.writer.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.draft.rename(self.folder)


def file_name(name: str) -> str:
    """Return a name that can be a folder: what is no letter, digit, `.`, `=` or `-` becomes `_`."""
    return "".join(mark if mark.isalnum() or mark in ".=-" else "_" for mark in name)


def shown(value: Any) -> str:
    """Return a setting as text: itself, or its JSON."""
    return value if isinstance(value, str) else "" if value is None else encode(value)
