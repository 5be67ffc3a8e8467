// What the runtime throws at a caller that broke the seam's contract; the binding turns it into a WarpbookError.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace warpbook::cpu {

struct Misuse : std::runtime_error {
  // `code` is one of the codes of src/errors.ts.
  explicit Misuse(const std::string& message, std::string code = "NATIVE")
      : std::runtime_error(message), code(std::move(code)) {}
  std::string code;
};

}  // namespace warpbook::cpu
