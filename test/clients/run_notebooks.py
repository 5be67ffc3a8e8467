"""Runs notebooks with nbclient, one after the other, and writes them with their outputs into a folder.

run_notebooks.py OUT FOLDER NOTEBOOK...   the kernel starts in FOLDER. Used by headless.test.ts and by the benches.
"""
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

out, folder, *paths = sys.argv[1:]
has_gpu = os.environ.get("WARPBOOK_DEVICE") == "cuda"
for path in map(Path, paths):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "gpu" in tags and not has_gpu:
            cell.metadata["tags"] = [*tags, "skip-execution"]
    resources = {"metadata": {"path": folder}}
    NotebookClient(notebook, kernel_name="warpbook", timeout=300, resources=resources).execute()
    nbformat.write(notebook, Path(out) / path.name)
