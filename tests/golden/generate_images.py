"""Writes images.safetensors: what Pillow and torchvision make of small images; data/transforms agree with it.

Needs PyTorch, torchvision, NumPy and Pillow.
"""
import pathlib

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image

from common import hashed, save_safetensors

# Of the image (height, width), grey or colour, and the size it is brought to.
RESIZES = [((7, 9), 1, (5, 5)), ((40, 31), 3, (8, 8)), ((5, 6), 3, (16, 16)), ((33, 12), 1, (12, 10)),
           ((24, 24), 3, (24, 11)), ((13, 50), 3, (13, 20)), ((64, 3), 3, (9, 9)), ((1, 30), 1, (4, 4)),
           ((30, 45), 3, (20, 20)), ((100, 101), 1, (3, 50))]


def picture(number, height, width, channels):
    pixels = (hashed(number, height * width * channels) * 256).astype(np.uint8)
    return pixels.reshape(height, width, channels)


def as_pil(pixels):
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def as_array(image):
    a = np.asarray(image)
    return a[:, :, None] if a.ndim == 2 else a


def main():
    out = {}
    for i, ((h, w), c, (nh, nw)) in enumerate(RESIZES):
        x = picture(i, h, w, c)
        out[f"resize.{i}.x"] = x
        out[f"resize.{i}.y"] = as_array(as_pil(x).resize((nw, nh), Image.BILINEAR))
        # torchvision's Resize and CenterCrop, which know squares alone.
        side = min(nh, nw)
        short = F.resize(as_pil(x), side, F.InterpolationMode.BILINEAR)
        out[f"fit.{i}.y"] = as_array(F.center_crop(short, [side, side]))
    x = picture(100, 17, 14, 3)
    out["x"] = x
    t = torch.from_numpy(x).permute(2, 0, 1)
    bilinear = F.InterpolationMode.BILINEAR
    results = {
        "rotate 12": F.rotate(t, 12, bilinear), "rotate -90": F.rotate(t, -90, bilinear),
        "affine": F.affine(t, 7.5, [2, -3], 1.1, [8.0, 0.0], bilinear),
        "brightness": F.adjust_brightness(t, 1.3), "contrast": F.adjust_contrast(t, 0.7),
        "saturation": F.adjust_saturation(t, 1.4), "hue": F.adjust_hue(t, 0.08), "hue back": F.adjust_hue(t, -0.1),
    }
    for name, y in results.items():
        out[name] = y.permute(1, 2, 0).numpy()
    # All eight Exif orientations of one JPEG, as Pillow turns them.
    import io
    from PIL import ImageOps
    smooth = np.add.outer(np.arange(11) * 12, np.arange(7) * 15).astype(np.uint8)
    for o in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = o
        file = io.BytesIO()
        Image.fromarray(smooth).save(file, "JPEG", quality=95, exif=exif)
        out[f"exif.{o}.file"] = np.frombuffer(file.getvalue(), dtype=np.uint8)
        out[f"exif.{o}.y"] = as_array(ImageOps.exif_transpose(Image.open(file)))
    save_safetensors(pathlib.Path(__file__).parent / "images.safetensors", out)


if __name__ == "__main__":
    main()
