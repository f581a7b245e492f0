#include "golden/npy.h"

#include <algorithm>
#include <map>
#include <set>

#include "tensor.h"

namespace edge_app {
namespace {

// numpy writes 128 bytes for plain arrays; npy.py takes as many.
constexpr size_t kHeaderMax = 4096;
constexpr size_t kAxesMax = 32;

[[noreturn]] void refuse(const std::string& where, const std::string& expected, const std::string& found) {
  throw Error(Code::kMalformed, "a golden array cannot be read", where, expected, found, "write the bundle again");
}

const std::map<std::string, std::string>& list_types() {
  static const std::map<std::string, std::string> types = {
      {"<f2", "float16"}, {"<f4", "float32"}, {"<f8", "float64"}, {"|b1", "bool"},   {"|i1", "int8"},   {"<i2", "int16"},
      {"<i4", "int32"},   {"<i8", "int64"},   {"|u1", "uint8"},   {"<u2", "uint16"}, {"<u4", "uint32"}, {"<u8", "uint64"},
  };
  return types;
}

// Takes a word where the text goes on with it.
bool take(const std::string& text, size_t& at, const std::string& word) {
  if (text.compare(at, word.size(), word) != 0) return false;
  at += word.size();
  return true;
}

std::string take_until(const std::string& text, size_t& at, char end, const std::string& where) {
  const size_t stop = text.find(end, at);
  if (stop == std::string::npos) refuse(where, "a description of a plain array", "a header that ends early");
  const std::string found = text.substr(at, stop - at);
  at = stop + 1;
  return found;
}

std::vector<int64_t> read_sizes(const std::string& text, const std::string& where) {
  std::vector<int64_t> sizes;
  for (size_t at = 0; at < text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string size = text.substr(at, comma - at);
    if (size.empty() || size.size() > 18 || size.find_first_not_of("0123456789") != std::string::npos || sizes.size() == kAxesMax)
      refuse(where, "a shape", "(" + text.substr(0, 80) + ")");
    sizes.push_back(std::stoll(size));
    at = comma + 1;
  }
  return sizes;
}

// {'descr': '<f4', 'fortran_order': False, 'shape': (6, 4), } with its blanks left out.
NpyHeader read_description(const std::string& text, const std::string& where) {
  NpyHeader header;
  std::set<std::string> seen;
  size_t at = 0;
  if (!take(text, at, "{")) refuse(where, "a description of a plain array", text.substr(0, 80));
  while (!take(text, at, "}")) {
    if (take(text, at, "'descr':'")) {
      const std::string type = take_until(text, at, '\'', where);
      const auto known = list_types().find(type);
      if (known == list_types().end()) refuse(where, "numbers", type.substr(0, 80));
      header.dtype = known->second;
      seen.insert("descr");
    } else if (take(text, at, "'fortran_order':False")) {
      seen.insert("fortran_order");
    } else if (take(text, at, "'shape':(")) {
      header.shape = read_sizes(take_until(text, at, ')', where), where);
      seen.insert("shape");
    } else {
      refuse(where, "a description of a plain array in C order", text.substr(0, 80));
    }
    take(text, at, ",");
  }
  if (at != text.size() || seen.size() != 3) refuse(where, "type, order and shape", text.substr(0, 80));
  return header;
}

}  // namespace

NpyHeader read_npy_header(const std::string& bytes, const std::string& where) {
  const auto byte = [&](size_t index) { return static_cast<size_t>(static_cast<unsigned char>(bytes[index])); };
  if (bytes.size() < 12 || bytes.compare(0, 6, "\x93NUMPY") != 0 || byte(6) < 1 || byte(6) > 3)
    refuse(where, "a .npy file of version 1 to 3", "another beginning");
  const size_t begin = byte(6) == 1 ? 10 : 12;
  const size_t length = byte(8) | byte(9) << 8 | (begin == 12 ? byte(10) << 16 | byte(11) << 24 : 0);
  if (length > kHeaderMax || bytes.size() < begin + length) refuse(where, "a header of a plain array", std::to_string(length) + " bytes of it");
  std::string text = bytes.substr(begin, length);
  text.erase(std::remove_if(text.begin(), text.end(), [](char letter) { return letter == ' ' || letter == '\n'; }), text.end());
  NpyHeader header = read_description(text, where);
  header.size_bytes = begin + length;
  return header;
}

NpyFile::NpyFile(OpenFile file, std::string where) : file_(std::move(file)), where_(std::move(where)) {
  const auto size_bytes = static_cast<size_t>(file_.status.st_size);
  std::string head(std::min(size_bytes, kHeaderMax + 12), '\0');
  read_part(file_.file.get(), 0, head.data(), head.size(), Code::kMalformed, where_);
  header_ = read_npy_header(head, where_);
  int64_t declared = static_cast<int64_t>(count_bytes(header_.dtype));
  for (const int64_t size : header_.shape)
    if (__builtin_mul_overflow(declared, size, &declared)) refuse(where_, "an array that a file holds", write_shape(header_.shape));
  if (static_cast<uint64_t>(declared) != size_bytes - header_.size_bytes)
    refuse(where_, std::to_string(declared) + " bytes of numbers", std::to_string(size_bytes - header_.size_bytes));
}

Tensor NpyFile::read(int64_t start, int64_t count) const {
  if (header_.shape.empty() || start < 0 || count < 0 || start > rows() - count)
    refuse(where_, "rows " + std::to_string(start) + " to " + std::to_string(start + count), write_shape(header_.shape));
  std::vector<int64_t> shape = header_.shape;
  shape[0] = 1;
  // A row cannot be larger than the file, where there is one.
  const size_t row_bytes = rows() ? static_cast<size_t>(count_numbers(shape)) * count_bytes(header_.dtype) : 0;
  shape[0] = count;
  Tensor tensor{header_.dtype, shape, std::vector<uint8_t>(row_bytes * static_cast<size_t>(count))};
  read_part(file_.file.get(), header_.size_bytes + static_cast<size_t>(start) * row_bytes, reinterpret_cast<char*>(tensor.bytes.data()),
            tensor.bytes.size(), Code::kMalformed, where_);
  return tensor;
}

Tensor NpyFile::read_all() const { return read(0, rows()); }

}  // namespace edge_app
