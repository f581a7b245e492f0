// Byte-level BPE, as toolchain/agent/measure/preprocess/byte_bpe.py does it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace edge_app {

class ByteBpe {
 public:
  // file: JSON as ByteBpeFile says. Throws Error (23) for what is none.
  ByteBpe(const std::string& file, const std::string& where);

  // Appends the numbers of a text in UTF-8, without those at both ends, to `numbers` until these are `count` or more.
  void cut(const std::string& utf8, bool reads_special, size_t count, std::vector<int64_t>& numbers) const;

  int64_t padding = 0;
  std::vector<int64_t> begin, end;

 private:
  struct Join {
    uint32_t rank;
    int64_t number;
  };
  void cut_part(const std::string& part, size_t count, std::vector<int64_t>& numbers) const;
  void join(const std::string& bytes, std::vector<int64_t>& numbers) const;
  const Join* find_join(int64_t left, int64_t right) const;

  uint64_t size_ = 0;
  bool space_first_ = false;
  std::array<int64_t, 256> bytes_ = {};
  std::unordered_map<uint64_t, Join> joins_;
  // The longest first, which is taken of several at one place.
  std::vector<std::pair<std::string, int64_t>> special_;
  std::unordered_set<int64_t> takes_space_;
};

}  // namespace edge_app
