#!/usr/bin/python3
"""Trades .npy files with NumPy: exchange_npy.py FOLDER.

Every FOLDER/*.npy, which sigma wrote, is loaded and saved again as *.npy.again, by rows as *.npy.v2 and *.npy.v3
(versions of the header), as *.npy.fortran, and as *.npy.big (big-endian). Prints name, dtype, shape and the sum.
"""
import glob
import sys

import numpy
from numpy.lib import format


def save(path, array, version=None):
    with open(path, "wb") as f:
        format.write_array(f, array, version, allow_pickle=False)


def main():
    for path in sorted(glob.glob(sys.argv[1] + "/*.npy")):
        a = numpy.load(path, allow_pickle=False)
        save(path + ".again", a)
        save(path + ".v2", a, (2, 0))
        save(path + ".v3", a, (3, 0))
        save(path + ".fortran", numpy.asfortranarray(a) if a.ndim else a)
        save(path + ".big", a.astype(a.dtype.newbyteorder(">")))
        print(path.split("/")[-1], a.dtype.name, a.shape, a.sum())


if __name__ == "__main__":
    main()
