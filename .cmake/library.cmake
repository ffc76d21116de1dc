# One target a folder; a target links only what the architecture lets it include.
#
#   sigma_library(NAME FOLDER folder | SOURCES files... [WITHOUT paths...] [NEEDS targets...] [PACKAGES names...]
#                 [HIDDEN headers...] [PRECOMPILED headers...])
#
# makes the library sigma_NAME, known to users as sigma::NAME, the component NAME of the installed package and the
# pkg-config file sigma-NAME. FOLDER gives all its sources, but for those WITHOUT, and the headers to install under
# include/sigma/NAME, but for those HIDDEN, by name or pattern; PACKAGES are the pkg-config names of what a static link
# with it wants; PRECOMPILED, what its files include besides.

# Both forms of include find a header, installed or not: "layers/conv2d.h", which sigma itself writes, and
# <sigma/layers/conv2d.h>. In the build tree the second goes through links.
set(SIGMA_FORWARD ${PROJECT_BINARY_DIR}/include)
function(sigma_forward name path)
  file(MAKE_DIRECTORY ${SIGMA_FORWARD}/sigma)
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${path} ${SIGMA_FORWARD}/sigma/${name} SYMBOLIC)
endfunction()

# Read once for all the libraries: what nearly every file includes, which would be half of its time.
set(SIGMA_PRECOMPILED <algorithm> <array> <cmath> <complex> <cstring> <functional> <map> <memory> <optional> <string>
    <string_view> <vector> <fmt/core.h>)

# sigma_precompiled(target [headers...]): with them, and with its own when it names more. Not under ccache, which does
# better without: it would have to tell apart what is precompiled in each folder.
function(sigma_precompiled target)
  if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "ccache")
    return()
  elseif(target STREQUAL "sigma_core" OR ARGN)
    target_precompile_headers(${target} PRIVATE ${SIGMA_PRECOMPILED} ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM sigma_core)
  endif()
endfunction()

# What is fused is written so, from every compiler: GCC does so in standard C++, Clang wants to be told.
function(sigma_same_bits target)
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:Clang,AppleClang>:-ffp-contract=off>)
endfunction()

function(sigma_library name)
  cmake_parse_arguments(arg "" "FOLDER" "SOURCES;WITHOUT;HIDDEN;NEEDS;PACKAGES;PRECOMPILED" ${ARGN})
  set(sources ${arg_SOURCES})
  list(TRANSFORM sources PREPEND ${PROJECT_SOURCE_DIR}/)
  if(arg_FOLDER)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${arg_FOLDER}/*.cpp)
    foreach(path ${arg_WITHOUT})
      list(FILTER sources EXCLUDE REGEX "^${PROJECT_SOURCE_DIR}/${path}")
    endforeach()
    sigma_forward(${name} ${arg_FOLDER})
    set(hidden "")
    foreach(pattern ${arg_HIDDEN})
      list(APPEND hidden PATTERN ${pattern} EXCLUDE)
    endforeach()
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${arg_FOLDER}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sigma/${name}
            FILES_MATCHING PATTERN "*.h" ${hidden})
  endif()
  add_library(sigma_${name} STATIC ${sources})
  add_library(sigma::${name} ALIAS sigma_${name})
  set_target_properties(sigma_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON CXX_EXTENSIONS OFF)
  target_include_directories(sigma_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<BUILD_INTERFACE:${SIGMA_FORWARD}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/sigma>)
  target_compile_features(sigma_${name} PUBLIC cxx_std_20)

  sigma_same_bits(sigma_${name})
  target_link_libraries(sigma_${name} PUBLIC ${arg_NEEDS})
  sigma_precompiled(sigma_${name} ${arg_PRECOMPILED})
  install(TARGETS sigma_${name} EXPORT sigmaTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})

  # pkg-config: the libraries of ours that it needs, then the packages.
  set(requires ${arg_NEEDS})
  list(FILTER requires INCLUDE REGEX "^sigma_")
  list(TRANSFORM requires REPLACE "^sigma_" "sigma-")
  list(APPEND requires ${arg_PACKAGES})
  list(JOIN requires " " requires)
  file(WRITE ${PROJECT_BINARY_DIR}/pkgconfig/sigma-${name}.pc
"prefix=\${pcfiledir}/../..
Name: sigma-${name}
Description: The ${name} part of sigma, a deep-learning framework in C++20
Version: ${PROJECT_VERSION}
Requires: ${requires}
Libs: -L\${prefix}/${CMAKE_INSTALL_LIBDIR} -lsigma_${name} -pthread
Cflags: -I\${prefix}/${CMAKE_INSTALL_INCLUDEDIR} -I\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}/sigma
")
  set_property(GLOBAL APPEND PROPERTY SIGMA_COMPONENTS ${name})
endfunction()
