# How sigma itself is built: optimisation, warnings, sanitizers. Not included when it is part of another project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")  # the kernels have -O3
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")  # -O0 makes the numeric tests take minutes

# Off: designated initialisers may leave members at their defaults.
add_compile_options(-Wall -Wextra -Wshadow -Wno-psabi -Wno-missing-field-initializers -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC 12 warns falsely about overflow and overlap when it inlines copies (GCC PR 105329, 105651).
  add_compile_options(-Wno-stringop-overflow -Wno-restrict)
endif()
if(SIGMA_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(SIGMA_SANITIZE)
  # Left out, because they take a third of the build's time: the type behind a pointer, a null pointer (which crashes
  # anyway) and the size of an object (which AddressSanitizer knows better).
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=vptr,null,object-size -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS)
  add_link_options(-fsanitize=address,undefined)
endif()
if(SIGMA_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  add_compile_options(-Wno-maybe-uninitialized)  # GCC 12 warns in its own <regex> under sanitizers
  add_compile_options(-Wno-tsan)                 # std::atomic_thread_fence in its own <memory>
endif()
if(SIGMA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
option(SIGMA_COVERAGE "Count executed lines" OFF)
if(SIGMA_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
