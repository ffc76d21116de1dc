// .npy: one array in one file, as numpy.save writes it. Format: numpy/lib/format.py.
//
// The magic \x93NUMPY, two bytes of version, the length of the header (2 bytes in version 1, 4 in versions 2
// and 3), the header, a Python literal {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } padded
// with spaces and ended by a new line, then the elements.
#pragma once

#include <string>

#include "core/file.h"
#include "core/tensor.h"

namespace sigma {

// The tensor is contiguous; columns-first files (fortran_order) and big-endian ones are put in order. Every
// value is kept exactly:
//
//   f4 f8 c8 c16 u1 i8   float32 float64 complex64 complex128 uint8 int64
//   f2                   float32
//   b1                   uint8, 0 or 1
//   i1 i2 i4 u2 u4       int64
//
// Others are refused: u8 does not fit int64, f16 (long double) and c32 do not fit float64, text and dates are
// no numbers, records have no one type, and Python objects would run code. Errors are of kind data (io when
// the file cannot be read) and name the file and, where there is one, the byte. A header has at most 10,000
// bytes (NumPy's limit) and 8 dimensions. The file must end with the last element, which is checked before
// the tensor is allocated.
Tensor load_npy(const std::string& path);
Tensor parse_npy(const Bytes& bytes, const std::string& place);

// Version 1, little-endian, rows first: the bytes numpy.save (1.24) writes for the same array. NumPy has no
// bfloat16, so that is widened to float32, which is exact. Writes atomically (see write_file_atomic).
void save_npy(const std::string& path, const Tensor& tensor);

}  // namespace sigma
