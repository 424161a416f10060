"""Detects the licence of a workspace from its files."""

import re
from pathlib import Path

NAMES = re.compile(r"(?i)^(?:licen[cs]e|copying|unlicense)(?:[.-].*)?$")
KNOWN = (  # SPDX name, and text that only that licence has
    ("Apache-2.0", r"Apache License\s+Version 2\.0"),
    ("AGPL-3.0", r"GNU AFFERO GENERAL PUBLIC LICENSE\s+Version 3"),
    ("LGPL", r"GNU LESSER GENERAL PUBLIC LICENSE"),
    ("GPL-3.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 3"),
    ("GPL-2.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 2"),
    ("MPL-2.0", r"Mozilla Public License,? (?:Version|v\.) ?2\.0"),
    ("MIT", r"Permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("ISC", r"Permission to use, copy, modify, and(?:/or)? distribute this software for any\s+purpose"),
    (
        "BSD-3-Clause",
        r"Redistribution and use in source and binary forms[\s\S]*(?:Neither the name|endorse or promote)",
    ),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("Unlicense", r"This is free and unencumbered software"),
)
READ = 40_000  # characters; no licence is longer


def licence_of(workspace: str) -> str:
    """The SPDX name, "unknown (FILE)" for an unknown text, or the reason why there is none."""
    root = Path(workspace).expanduser()
    if not root.is_dir():
        return "not checked: the code is not on this machine"
    for folder in (root, *_distributions(root)):
        for file in sorted(child for child in folder.iterdir() if NAMES.match(child.name) and child.is_file()):
            text = file.read_text(encoding="utf-8", errors="replace")[:READ]
            return next((name for name, pattern in KNOWN if re.search(pattern, text)), f"unknown ({file.name})")
    return "none found"


def _distributions(root: Path) -> list[Path]:
    """The directories with an installed package's licence: NAME-VERSION.dist-info beside it, and its licenses/."""
    found = sorted(root.parent.glob(f"{root.name}-*.dist-info"))
    return [folder for info in found for folder in (info, info / "licenses") if folder.is_dir()]
