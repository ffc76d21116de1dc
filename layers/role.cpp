#include "layers/role.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

#include "core/check.h"

namespace sigma {

void throw_other_layer(const std::type_info& expected, const std::string& path, const std::string& got) {
  // "sigma::BatchNorm2d" for what the compiler calls N5sigma11BatchNorm2dE.
  std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(expected.name(), nullptr, nullptr, nullptr),
                                              std::free);
  check_failed("layer_as", "expected a {} at \"{}\", got {}", name ? name.get() : expected.name(), path,
               got.empty() ? "no module" : "a " + got);
}

}  // namespace sigma
