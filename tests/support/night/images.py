"""Screenshots for the docs: with few colours, so that they stay small."""

from pathlib import Path

COLOURS = 256  # with fewer, red and blue become brown and grey


def shrink(image: Path) -> int:
    """Rewrite a PNG with a palette of COLOURS; returns its size in bytes."""
    from PIL import Image  # only who makes the docs' images needs it

    with Image.open(image) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(image, optimize=True)
    return image.stat().st_size
