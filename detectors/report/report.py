"""What `run` returns: the document, and how to look at it."""

from __future__ import annotations

from typing import Any

from detectors.report.model import Document


class Report(Document):
    """A sequence of detections, indexable by number or by detector name."""

    def __str__(self) -> str:
        """The table as the command prints it."""
        from detectors.report.terminal import as_text

        return as_text(self)

    def to_html(self) -> str:
        """One page with pictures that works offline; after JSON without those that need more than it holds."""
        from detectors.report.html import to_html

        return to_html(self)

    def to_pandas(self) -> Any:
        """A DataFrame with a row a detection, of the columns of `detectors run --parquet`; needs pandas."""
        from detectors.report.rows import frame, rows_of

        return frame(rows_of(self))

    def _repr_html_(self) -> str:
        from detectors.report.html import to_notebook

        return to_notebook(self)


def schema() -> dict[str, Any]:
    """JSON Schema of `Report.to_json`."""
    document = Report.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
