// Arrays of .npy files: plain numbers alone, as toolchain/agent/measure/npy.py reads them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "board/file.h"
#include "edge_app.h"

namespace edge_app {

struct NpyHeader {
  std::string dtype;
  std::vector<int64_t> shape;
  size_t size_bytes = 0;  // where the array begins
};

// Reads what a file begins with; throws Error (23): no .npy file, objects, a type that numpy's names of ours lack, an array in another
// order than C's.
NpyHeader read_npy_header(const std::string& bytes, const std::string& where);

// An array in an open file, of which rows along the first axis are read.
class NpyFile {
 public:
  // Throws Error (23) as read_npy_header, and for a file of another size than its header says.
  NpyFile(OpenFile file, std::string where);

  const std::string& where() const { return where_; }
  const std::string& dtype() const { return header_.dtype; }
  const std::vector<int64_t>& shape() const { return header_.shape; }
  int64_t rows() const { return header_.shape.empty() ? 0 : header_.shape[0]; }
  // As (count, ...); throws Error (23) where there are fewer.
  Tensor read(int64_t start, int64_t count) const;
  Tensor read_all() const;

 private:
  OpenFile file_;
  std::string where_;
  NpyHeader header_;
};

}  // namespace edge_app
