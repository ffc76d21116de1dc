# core/kernels, a part of sigma_core with compiler options and libraries of its own.
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/core/kernels/*.cpp)
add_library(sigma_kernels OBJECT ${sources})
set_target_properties(sigma_kernels PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_EXTENSIONS OFF)
target_compile_features(sigma_kernels PRIVATE cxx_std_20)
target_include_directories(sigma_kernels PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(sigma_kernels PRIVATE fmt::fmt PkgConfig::OPENBLAS PkgConfig::HIGHWAY)
target_sources(sigma_core PRIVATE $<TARGET_OBJECTS:sigma_kernels>)
target_link_libraries(sigma_core INTERFACE $<LINK_ONLY:PkgConfig::OPENBLAS> $<LINK_ONLY:PkgConfig::HIGHWAY>)

# Highway compiles each kernel file once a target. AVX2 and AVX-512 are what pays; other CPUs get the portable loops, arm64
# NEON. Vectors without a size known to the compiler (SVE, RISC-V) do not fit the kernels.
target_compile_definitions(sigma_kernels PRIVATE "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3_DL|HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128|HWY_RVV)")
sigma_same_bits(sigma_kernels)
target_compile_options(sigma_kernels PRIVATE $<$<CONFIG:Release>:-O3> -fno-math-errno -fno-trapping-math)
target_compile_options(sigma_kernels PRIVATE $<$<CXX_COMPILER_ID:Clang,AppleClang>:-Wno-unknown-pragmas>)  # GCC ivdep
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(sigma_kernels PRIVATE -mprefer-vector-width=512)
endif()
if(NOT CMAKE_CXX_COMPILER_LAUNCHER MATCHES "ccache")
  target_precompile_headers(sigma_kernels PRIVATE <algorithm> <array> <cmath> <cstring> <functional> <memory> <string>
                            <vector> <hwy/base.h> <hwy/targets.h>
                            $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>:<immintrin.h$<ANGLE-R>>)
endif()
