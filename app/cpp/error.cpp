#include "edge_app.h"

namespace edge_app {
namespace {

std::string write_error(Code code, const std::string& happened, const std::string& where, const std::string& expected,
                        const std::string& found, const std::string& fix) {
  std::string text = happened + " (exit " + std::to_string(static_cast<int>(code)) + ")\n  ";
  if (!where.empty()) text += where + ": ";
  if (!expected.empty()) text += "expected " + expected + ", ";
  return text + "found " + found + "\n  fix: " + fix;
}

}  // namespace

Error::Error(Code code_, const std::string& happened_, const std::string& where_, const std::string& expected_,
             const std::string& found_, const std::string& fix_)
    : std::runtime_error(write_error(code_, happened_, where_, expected_, found_, fix_)),
      code(code_),
      happened(happened_),
      where(where_),
      expected(expected_),
      found(found_),
      fix(fix_) {}

}  // namespace edge_app
