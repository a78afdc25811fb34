"""Execute a notebook in the current folder and print every text that it shows: `run_notebook.py FILE`."""

import sys
from pathlib import Path


def main(file):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    here = {"metadata": {"path": str(Path.cwd())}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=here).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            figure = data.get("application/vnd.plotly.v1+json")
            shown = f"[figure of {len(figure['data'])} traces]" if figure else data.get("text/plain", "")
            print(output.get("text", shown))


if __name__ == "__main__":
    main(sys.argv[1])
